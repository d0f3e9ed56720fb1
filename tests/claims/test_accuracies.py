import polars as pl
import pytest

from raystudy.claims.accuracies import accuracies
from raystudy.ledger import SCHEMA


def records(rows):
    """``SCHEMA`` rows of the columns that matter here; the rest is null."""
    return pl.DataFrame(
        [{"metric": "accuracy", "split": "test", "task": "digits"} | row for row in rows],
        schema=SCHEMA,
    )


CELLS = [
    {"cell": f"{size}/{seed}", "size": size, "seed": seed, "value": size / 1000 + seed / 10}
    for size in (300, 100)
    for seed in (1, 0)
]


def test_an_array_in_the_order_of_its_levels_in_points():
    values, levels = accuracies(records(CELLS), {"task": "digits"}, {"size": None, "seed": None})
    assert levels == [[100, 300], [0, 1]]
    assert values.tolist() == [pytest.approx([10, 20]), pytest.approx([30, 40])]


def test_other_splits_and_metrics_are_left_out():
    others = [
        CELLS[0] | {"split": "validation", "value": 0.9},
        CELLS[0] | {"split": "test-blur", "value": 0.9},
        CELLS[0] | {"metric": "ece", "value": 0.9},
        CELLS[0] | {"task": "letters", "value": 0.9},
    ]
    fixed, axes = {"task": "digits"}, {"size": [300], "seed": [1]}
    assert accuracies(records(CELLS + others), fixed, axes)[0].item() == pytest.approx(40)


def test_missing_cells_are_named():
    with pytest.raises(ValueError, match="task digits, cells are missing: size 300, seed 1;"):
        accuracies(records(CELLS[1:]), {"task": "digits"}, {"size": None, "seed": None})


def test_a_level_nobody_ran_is_named():
    with pytest.raises(ValueError, match="missing: size 900, seed 0; size 900, seed 1;"):
        accuracies(records(CELLS), {"task": "digits"}, {"size": [100, 900], "seed": None})


def test_nothing_at_all_is_said():
    with pytest.raises(ValueError, match=r"no test accuracy for task pets, size \[100\]"):
        accuracies(records(CELLS), {"task": "pets"}, {"size": [100], "seed": None})


def test_records_that_claim_one_place_are_told_apart():
    rows = [row | {"architecture": a} for a in ("resnet", "vit") for row in CELLS]
    fixed, axes = {"task": "digits"}, {"size": None, "seed": None}
    with pytest.raises(ValueError, match=r"2 records of size 300, seed 1 .* in architecture"):
        accuracies(records(rows), fixed, axes)
    assert accuracies(records(rows), fixed | {"architecture": "vit"}, axes)[0].shape == (2, 2)
    assert accuracies(records(CELLS), fixed | {"architecture": None}, axes)[0].shape == (2, 2)
