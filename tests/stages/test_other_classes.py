"""A shift with other classes than its task: the highest logit of those that stand for each."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raystudy.adapt.nearest_class_mean import NearestClassMean
from raystudy.kinds import Adapted, Examples, Size, Task
from raystudy.ledger import Ledger
from raystudy.spec import Architecture, Cell, Initialisation, Preprocessing
from raystudy.stages.adapt import adapt, units
from raystudy.stages.evaluate import _logits
from raystudy.store import Store
from raystudy.tasks.digits import Digits

GROUPS = ((9, 1), (4,), (0, 2, 3))


class Merged(Task):
    """Digits, with a shift in which 1 and 9 are one class, 4 another, and 0, 2 and 3 a third."""

    class_names: ClassVar[tuple[str, ...]] = Digits.class_names

    @property
    def name(self) -> str:
        return "merged"

    @property
    def shifts(self) -> tuple[str, ...]:
        return ("three", "validation")

    @property
    def size(self) -> Size:
        return Digits().size

    def check(self) -> None: ...

    def num_train(self) -> Sequence[int]:
        return Digits().num_train()

    def train(self) -> Examples:
        return Digits().train()

    def validation(self) -> Examples:
        return Digits().validation()

    def _test(self, shift: str | None) -> Examples:
        test = Digits()._test(None)
        if shift != "three":
            return test
        place = {label: k for k, group in enumerate(GROUPS) for label in group}
        rows = np.array([i for i, label in enumerate(test.labels) if int(label) in place])
        kept = test.take(rows)
        return Examples(kept.ids, kept.inputs, np.array([place[int(y)] for y in kept.labels]))

    def classes_of(self, shift: str) -> Sequence[Sequence[int]] | None:
        return GROUPS if shift == "three" else None


@given(st.integers(0, 2**32 - 1))
def test_of_each_group_the_highest(seed: int) -> None:
    logits = np.random.default_rng(seed).normal(size=(7, 10)).astype(np.float32)
    examples = Examples([str(i) for i in range(7)], np.arange(7), np.zeros(7, np.int64))
    names = ["validation", "test", "test-three", "test-validation"]
    splits: dict[str, Examples] = dict.fromkeys(names, examples)
    found = _logits(Adapted(lambda x: logits[x], {}), Merged(), splits)
    for split in ("validation", "test", "test-validation"):
        np.testing.assert_array_equal(found[split], logits)
    expected = [[max(row[c] for c in group) for group in GROUPS] for row in logits.tolist()]
    np.testing.assert_array_equal(found["test-three"], np.array(expected, np.float32))


def test_records_and_predictions_are_of_the_shifts_classes(store: Store) -> None:
    tiny = Architecture(
        name="resnet18",
        args={"layers": [1] * 4, "channels": [8] * 4},
        preprocessing=Preprocessing(image_size=16),
    )
    cell = Cell(
        backbone=Initialisation(architecture=tiny),
        task=Merged(),
        adaptation=NearestClassMean(),
        shots=10,
    )
    (unit,) = units([cell])
    adapt(unit, store)
    kept = Ledger(store).predictions([cell.key])
    width = {
        split: {len(row) for row in rows["logits"]}
        for (split,), rows in kept.group_by("split")  # type: ignore[misc]
    }
    assert width == {
        **{"validation": {10}, "test": {10}, "test-three": {3}, "test-validation": {10}}
    }
    test = {row["id"]: row for row in kept.rows(named=True) if row["split"] == "test"}
    three = [row for row in kept.rows(named=True) if row["split"] == "test-three"]
    assert 0 < len(three) < len(test)
    hits = []
    for row in three:
        whole = test[row["id"]]["logits"]
        assert row["logits"] == [max(whole[c] for c in group) for group in GROUPS]
        hits.append(np.argmax(row["logits"]) == row["label"])
    records = Ledger(store).read()
    (accuracy,) = (
        r["value"]
        for r in records.rows(named=True)
        if (r["split"], r["metric"]) == ("test-three", "accuracy")
    )
    assert accuracy == pytest.approx(np.mean(hits))
