"""The test split is opened by one module, and no adaptation can reach it."""

import ast
import inspect
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest

import raystudy
from raystudy import seal
from raystudy.adapt.linear_probe import LinearProbe
from raystudy.adapt.nearest_class_mean import NearestClassMean
from raystudy.failures import failures
from raystudy.kinds import Adaptation, Adapted, Encoder, Examples, Probe, Support
from raystudy.ledger import Ledger
from raystudy.seal import SealError
from raystudy.spec import Architecture, Cell, Initialisation, Preprocessing
from raystudy.stages import evaluate
from raystudy.stages.adapt import CellsFailedError, adapt, units
from raystudy.stages.extract import StoredEncoder
from raystudy.store import Store
from raystudy.tasks.digits import Digits

PACKAGE = Path(raystudy.__file__).parent
TINY = Architecture(
    name="resnet18",
    args={"layers": [1] * 4, "channels": [8] * 4},
    preprocessing=Preprocessing(image_size=16),
)


def mentions(file: Path, name: str) -> bool:
    tree = ast.parse(file.read_text())
    return any(isinstance(node, ast.Attribute) and node.attr == name for node in ast.walk(tree))


def test_only_evaluate_opens_the_test_split() -> None:
    opening = {
        str(file.relative_to(PACKAGE))
        for file in PACKAGE.rglob("*.py")
        if mentions(file, "sealed") or mentions(file, "_test")
    }
    # Corrupted hands on what is sealed: its own way in is that of the task it is made from.
    assert opening == {"kinds.py", "stages/evaluate.py", "tasks/corrupted.py"}


@pytest.mark.parametrize("file", sorted((PACKAGE / "adapt").glob("*.py")), ids=lambda f: f.stem)
def test_adaptations_do_not_know_tasks(file: Path) -> None:
    """No name in an adaptation's file could hold a Task, a Store or a module that opens one."""
    tree = ast.parse(file.read_text())
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom | ast.Import)
        for alias in node.names
    }
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not imported & {"Task", "Store", "importlib", "open"}
    assert not any(m.startswith(("raystudy.tasks", "raystudy.stages")) for m in modules)


def test_adapt_is_given_no_task() -> None:
    parameters = set(inspect.signature(Adaptation.adapt).parameters)
    assert parameters == {"self", "train", "validation", "encoder", "prompts", "seed"}
    parameters = set(inspect.signature(Probe.adapt_all).parameters)
    assert parameters == {"self", "train", "validation", "supports", "encoder", "prompts"}


def test_a_closed_split_is_not_handed_out() -> None:
    with pytest.raises(SealError, match="the test split of digits is under seal"):
        Digits().sealed()
    with seal.opened():
        assert len(Digits().sealed()) == 797
    with pytest.raises(SealError):
        Digits().sealed()


def test_no_other_thread_shares_what_one_has_opened() -> None:
    with seal.opened(), ThreadPoolExecutor(1) as pool, pytest.raises(SealError):
        pool.submit(Digits().sealed).result()


def test_nothing_is_opened_while_an_adaptation_runs() -> None:
    def open_it() -> None:
        with seal.opened():
            Digits().sealed()

    with seal.locked():
        with pytest.raises(SealError, match="an adaptation is running"):
            open_it()
        with ThreadPoolExecutor(1) as pool, pytest.raises(SealError):
            pool.submit(open_it).result()
    open_it()


class Burglar(Adaptation):
    """Tries one way in, and learns of what it found."""

    inputs: ClassVar = "features"
    way: Literal["task", "evaluate", "seal", "thread", "kept"]

    @property
    def name(self) -> str:
        return f"burglar-{self.way}"

    def adapt(
        self,
        train: Examples,
        validation: Examples,
        encoder: Encoder,
        prompts: Sequence[Sequence[str]],
        seed: int,
    ) -> Adapted:
        ways: dict[str, Callable[[], object]] = {
            "task": lambda: Digits().sealed(),
            "evaluate": lambda: evaluate._open(Digits(), [None], encoder, encoder._store),  # type: ignore[attr-defined, arg-type]
            "seal": self._break_the_seal,
            "thread": lambda: ThreadPoolExecutor(1).submit(self._break_the_seal).result(),
            "kept": lambda: evaluate._test(Digits(), None),
        }
        ways[self.way]()
        return Adapted(lambda x: np.zeros((len(x), 10), np.float32), {})

    def _break_the_seal(self) -> object:
        with seal.opened():
            return Digits().sealed()


class Twin(Probe):
    """A probe that tries the same while it solves many cells together."""

    @property
    def name(self) -> str:
        return "twin"

    def adapt_all(
        self,
        train: Examples,
        validation: Examples,
        supports: Sequence[Support],
        encoder: Encoder,
        prompts: Sequence[Sequence[str]],
    ) -> Sequence[Adapted]:
        with seal.opened():
            Digits().sealed()
        return [Adapted(lambda x: np.zeros((len(x), 10), np.float32), {}) for _ in supports]


def test_no_adaptation_breaks_in(store: Store) -> None:
    """Every way in fails its cell, and no other; the store says why."""
    ways = ("task", "evaluate", "seal", "thread", "kept")
    bad = [*(Burglar(way=way) for way in ways), Twin()]
    backbone = Initialisation(architecture=TINY)
    cells = [
        Cell(backbone=backbone, task=Digits(), adaptation=a, shots=s)
        for a in (*bad, NearestClassMean())
        for s in (1, 5)
    ]
    (unit,) = units(cells)
    for _ in range(2):  # the second time the test split has been read by this process
        with pytest.raises(CellsFailedError, match=r"seal|adaptation is running"):
            adapt(unit, store)
    errors = failures(store, (c.key for c in cells))
    assert len(errors) == 2 * len(bad)
    assert all(error.startswith("SealError") for error in errors.values())
    assert set(Ledger(store).read()["adaptation"]) == {"nearest-class-mean"}


def test_selection_on_test_is_refused_to_cells_that_do_not_say_so(store: Store) -> None:
    honest = Cell(
        backbone=Initialisation(architecture=TINY),
        task=Digits(),
        adaptation=LinearProbe(),
        shots=1,
    )
    biased = honest.model_copy(update={"selection": "test"})
    encoder = StoredEncoder(honest.backbone, store)
    with pytest.raises(SealError, match="not chosen on the test split"):
        evaluate.chosen_on_test(Digits(), LinearProbe(), [biased, honest], encoder, store)
    (unit,) = units([biased])
    adapt(unit, store)
    assert set(Ledger(store).read()["adaptation"]) == {"linear-probe (selected on test)"}
