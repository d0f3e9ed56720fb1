"""Keys are stable: results made by an older version must be found by this one.

A failing test here means that every stored result of the class is orphaned. Update a key only
together with a bump of VERSION of the class that changed, and a line in CHANGELOG.md.
"""

from typing import ClassVar

import pytest
from pydantic import ValidationError

from raystudy.adapt.linear_probe import LinearProbe
from raystudy.key import canonical, difference, key
from raystudy.kinds import Spec
from raystudy.methods.supervised import Supervised
from raystudy.noise.symmetric import Symmetric
from raystudy.sources.glyphs import Glyphs
from raystudy.spec import Architecture, Budget, Cell, Optimisation, Pretraining
from raystudy.tasks.digits import Digits

PRETRAINING = Pretraining(
    method=Supervised(),
    architecture=Architecture(name="resnet18"),
    source=Glyphs(script="latin"),
    size=1000,
    noise=Symmetric(rate=0.3),
)
GOLDEN = {
    "optimisation": (Optimisation(), "b5744020c4dacbab3eed"),
    "source": (Glyphs(script="latin"), "6871a8bb73ff5898abf1"),
    "noise": (Symmetric(rate=0.3), "ac8efe710587ca4c86c0"),
    "pretraining": (PRETRAINING, "5c4ccc7de75e330a887e"),
    "cell": (
        Cell(backbone=PRETRAINING, task=Digits(), adaptation=LinearProbe(), shots=10),
        "05200e85a8b7c7ac0a73",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name: str) -> None:
    spec, expected = GOLDEN[name]
    assert spec.key == expected


def test_types_are_coerced_first() -> None:
    assert Optimisation(learning_rate=1).key == Optimisation(learning_rate=1.0).key
    assert Budget(batch_size=64.0).key == Budget(batch_size=64).key  # pyright: ignore[reportArgumentType]


def test_defaults_are_left_out() -> None:
    assert Optimisation(learning_rate=1e-3).key == Optimisation().key
    assert "fields" not in canonical(Optimisation())


def test_a_new_field_with_a_default_keeps_old_keys() -> None:
    class Before(Spec):
        kind: ClassVar[str] = "Test"
        a: int = 1

    class After(Spec):
        kind: ClassVar[str] = "Test"
        a: int = 1
        b: str = "as ever"

    After.__name__ = "Before"
    assert After(a=2).key == Before(a=2).key
    assert After(a=2, b="new").key != Before(a=2).key


def test_a_version_changes_the_key() -> None:
    class Thing(Spec):
        pass

    old = Thing().key
    Thing.VERSION = 2
    assert Thing().key != old


def test_inputs_enter_by_their_keys() -> None:
    other = PRETRAINING.model_copy(update={"noise": Symmetric(rate=0.6)})
    assert key(other) != PRETRAINING.key


def test_hardware_is_in_no_spec() -> None:
    fields = set(Pretraining.model_fields) | set(Budget.model_fields) | set(Cell.model_fields)
    assert not fields & {"num_workers", "device", "threads", "num_gpus", "lanes"}


def test_a_difference_is_named_by_field() -> None:
    other = PRETRAINING.model_copy(update={"optimisation": Optimisation(learning_rate=0.1)})
    lines = difference(PRETRAINING.describe(), other.describe())
    assert lines == ['optimisation: "default" → ' + lines[0].split(" → ")[1]]
    assert "0.1" in lines[0]


def test_what_is_not_finite_has_no_key() -> None:
    with pytest.raises(ValidationError):
        Optimisation(learning_rate=float("nan"))
