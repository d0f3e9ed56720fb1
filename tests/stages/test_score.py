"""Metrics are added to finished cells from what is kept, once, and beside what is there."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pytest
from scipy.special import log_softmax

from raystudy.kinds import Floats, Integers, Metric, Scored
from raystudy.ledger import SCHEMA, Ledger
from raystudy.metrics.accuracy import Accuracy
from raystudy.stages.evaluate import PREDICTIONS
from raystudy.stages.score import score, unscored
from raystudy.store import Store

SIZES = {"validation": 20, "test": 50, "test-blurred": 50}


class Confidence(Metric):
    """Mean probability of the prediction."""

    @property
    def name(self) -> str:
        return "confidence"

    def compute(self, logits: Floats, labels: Integers) -> float:
        return float(np.exp(log_softmax(logits.astype(np.float64), 1)).max(1).mean())


class Drop(Metric):
    """Accuracy on the test split less that on a shift of it; nothing on the others."""

    VERSION: ClassVar[int] = 1
    of: str = "accuracy"

    @property
    def name(self) -> str:
        return "drop"

    def compute(self, logits: Floats, labels: Integers) -> float:
        return float((logits.argmax(1) == labels).mean())

    def judge(self, split: str, scored: Mapping[str, Scored]) -> float | None:
        if not split.startswith("test-"):
            return None
        before, after = scored["test"], scored[split]
        return self.compute(before.logits, before.labels) - self.compute(after.logits, after.labels)


def predicted(cell: str) -> dict[str, Scored]:
    rng = np.random.default_rng(list(cell.encode()))
    return {
        split: Scored(rng.normal(size=(n, 4)).astype(np.float32), rng.integers(0, 4, n))
        for split, n in SIZES.items()
    }


def append(ledger: Ledger, *cells: str) -> None:
    blank = dict.fromkeys(SCHEMA.names())
    records, predictions = [], []
    for cell in cells:
        for split, s in predicted(cell).items():
            value = Accuracy().compute(s.logits, s.labels)
            row = {"cell": cell, "split": split, "metric": "accuracy", "value": value, "task": cell}
            records.append(blank | row)
            ids = [f"{split}-{i}" for i in range(len(s.labels))]
            columns = {"cell": [cell] * len(ids), "split": [split] * len(ids), "id": ids}
            columns |= {"label": s.labels, "logits": list(s.logits)}
            predictions.append(pl.DataFrame(columns, schema=PREDICTIONS))
    ledger.append(pl.DataFrame(records, schema=SCHEMA), pl.concat(predictions))


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    store = Store(tmp_path if request.param == "local" else f"memory://{tmp_path.name}-s")
    append(Ledger(store), "a", "b")
    append(Ledger(store), "c")
    return store


def scored(store: Store, *metrics: Metric) -> int:
    told: list[int] = []
    score(unscored("abc", metrics, store), store, told.append)
    return sum(told)


def test_every_split_of_every_cell_gets_its_number(store: Store) -> None:
    assert scored(store, Confidence()) == 3
    found = Ledger(store).read("abc", [Confidence()]).filter(metric="confidence")
    assert len(found) == 3 * len(SIZES)
    for row in found.iter_rows(named=True):
        logits = predicted(row["cell"])[row["split"]].logits.astype(np.float64)
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        assert row["value"] == pytest.approx(np.mean([max(x) for x in p]), abs=1e-9)
        assert row["task"] == row["cell"]  # the axes of its cell come with it


def test_a_metric_may_look_at_other_splits_and_say_nothing(store: Store) -> None:
    scored(store, Drop())
    found = Ledger(store).read("ab", [Drop()]).filter(metric="drop")
    assert set(found["split"]) == {"test-blurred"}
    assert set(found["cell"]) == {"a", "b"}


def test_what_is_there_is_not_computed_again(store: Store) -> None:
    assert scored(store, Confidence(), Drop()) == 3
    assert scored(store, Confidence(), Drop()) == 0
    append(Ledger(store), "d")
    assert set(unscored("abcd", [Drop()], store)) == set(Ledger(store).files()) - set(
        Ledger(store).scored()
    )


def test_what_was_not_asked_for_is_not_read(store: Store) -> None:
    scored(store, Confidence(), Drop())
    names = Ledger(store).read("abc", [Drop()])["metric"].unique().to_list()
    assert sorted(names) == ["accuracy", "drop"]
    assert Ledger(store).read("abc")["metric"].unique().to_list() == ["accuracy"]


def test_a_metric_that_means_something_else_now_is_computed_anew(store: Store) -> None:
    scored(store, Drop())

    class Newer(Drop):
        def compute(self, logits: Floats, labels: Integers) -> float:
            return 2 * super().compute(logits, labels)

    Newer.__name__, Newer.VERSION = "Drop", 2
    assert scored(store, Newer()) == 3
    before, after = (
        Ledger(store).read("abc", [m]).filter(metric="drop")["value"] for m in (Drop(), Newer())
    )
    assert after.to_list() == [pytest.approx(2 * v) for v in before]


def test_it_replaces_what_was_computed_with_the_cell(store: Store) -> None:
    class Half(Accuracy):
        VERSION = 2

        def compute(self, logits: Floats, labels: Integers) -> float:
            return 0.5

    scored(store, Half())
    assert Ledger(store).read("abc", [Half()])["value"].unique().to_list() == [0.5]


def test_a_metric_that_fails_names_itself_and_the_cell(store: Store) -> None:
    class Broken(Confidence):
        def compute(self, logits: Floats, labels: Integers) -> float:
            raise ValueError("no")

    with pytest.raises(ValueError, match="confidence of cell a on validation: no"):
        scored(store, Broken())
