"""Selection by left-out domains: the setting that does best on domains it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

from raystudy.adapt.finetune import FineTune
from raystudy.adapt.head2toe import Head2Toe
from raystudy.adapt.head2toe_ft import Head2ToeFT
from raystudy.adapt.k_nearest import KNearest
from raystudy.adapt.linear_probe import LinearProbe
from raystudy.adapt.ridge import Ridge
from raystudy.adapt.wise_ft import WiseFt
from raystudy.kinds import Adaptation, Adapted, Encoder, Examples
from raystudy.stages.left_out import adapt_by_left_out_domains

PROMPTS = [("a",), ("b",)]
NONE: Any = None
"""An encoder that nobody asks for anything."""


class Columns(Adaptation):
    """Reads one column of the features; which one is chosen by validation loss."""

    inputs: ClassVar[Literal["features", "images", "tokens"]] = "features"
    columns: tuple[int, ...] = (0, 1)

    @property
    def name(self) -> str:
        return "columns"

    def configurations(self) -> Sequence[Columns]:
        return [Columns(columns=(c,)) for c in self.columns]

    def adapt(
        self,
        train: Examples,
        validation: Examples,
        encoder: Encoder,
        prompts: Sequence[Sequence[str]],
        seed: int,
    ) -> Adapted:
        SEEN.append((sorted(set(domains(train))), sorted(set(domains(validation)))))

        def errors(column: int) -> float:
            return float(((validation.array[:, column] > 0) != validation.labels).mean())

        best = min(self.columns, key=errors)
        return Adapted(
            lambda x: np.c_[-x[:, best], x[:, best]], {"column": best}, len(self.columns)
        )


SEEN: list[tuple[list[str], list[str]]] = []


def domain_of(id: str) -> str:
    return id.split("/")[0]


def domains(examples: Examples) -> list[str]:
    return [domain_of(id) for id in examples.ids]


def examples(per_domain: int, seed: int) -> Examples:
    """Column 0 tells labels apart in the photographs alone, of which there are most; column 1 does
    so a little worse, and everywhere."""
    rng = np.random.default_rng(seed)
    ids, rows, labels = [], [], []
    for domain, number in (("photo", 10 * per_domain), ("sketch", per_domain), ("art", per_domain)):
        for i in range(number):
            label = int(rng.integers(2))
            sign = 2 * label - 1
            shortcut = sign if domain == "photo" else rng.choice([-1, 1])
            ids.append(f"{domain}/{i}")
            rows.append([shortcut, sign if rng.random() < 0.9 else -sign])
            labels.append(label)
    return Examples(ids, np.array(rows, np.float32), np.array(labels))


def test_a_shortcut_of_one_domain_is_not_chosen() -> None:
    train, validation = examples(30, 0), examples(30, 1)
    by_validation = Columns().adapt(train, validation, NONE, PROMPTS, 0)
    assert by_validation.chosen == {"column": 0}
    SEEN.clear()
    found = adapt_by_left_out_domains(
        Columns(),
        train,
        validation,
        domain_of,
        NONE,
        PROMPTS,
        0,
    )
    assert found is not None
    assert found.chosen["column"] == 1
    assert found.num_tried == 2
    unseen = [(validation.array[i, 1] > 0) == validation.labels[i] for i in range(len(validation))]
    own = np.array(domains(validation))
    expected = np.mean([np.mean(np.array(unseen)[own == d]) for d in ("art", "photo", "sketch")])
    assert found.chosen["left_out_accuracy"] == pytest.approx(expected)


def test_a_domain_is_judged_by_what_never_saw_it() -> None:
    SEEN.clear()
    train, validation = examples(5, 0), examples(5, 1)
    adapt_by_left_out_domains(Columns(), train, validation, domain_of, NONE, PROMPTS, 0)
    three = ["art", "photo", "sketch"]
    left = [[d for d in three if d != out] for out in three]
    assert [(d, d) for d in left] * 2 + [(three, three)] == SEEN


def test_examples_of_one_domain_are_refused() -> None:
    train = examples(5, 0)
    photos = train.take(np.array([i for i, d in enumerate(domains(train)) if d == "photo"]))
    with pytest.raises(ValueError, match="all training examples are of one"):
        adapt_by_left_out_domains(Columns(), photos, photos, domain_of, NONE, PROMPTS, 0)


@pytest.mark.parametrize(
    ("adaptation", "number"),
    [
        (LinearProbe(), 4),
        (Ridge(), 6),
        (KNearest(), 5),
        (FineTune(learning_rates=(1e-3, 1e-2)), 2),
        (WiseFt(alphas=(0.0, 1.0)), 2),
        (Head2Toe(keep=(0.1, 1.0), strengths=(1e-3, 1e-2), head_strengths=(1.0, 10.0)), 6),
        (Head2ToeFT(head2toe=Head2Toe(keep=(0.1,), strengths=(1e-3,))), 4),
    ],
    ids=lambda a: a.name if isinstance(a, Adaptation) else "",
)
def test_settings_leave_nothing_to_choose(adaptation: Adaptation, number: int) -> None:
    settings = adaptation.configurations()
    assert len({s.key for s in settings}) == len(settings) == number
    assert all(len(s.configurations()) == 1 for s in settings)
    assert all(s.name == adaptation.name for s in settings)
