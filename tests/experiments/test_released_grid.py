"""The released grid of paper 1, against what the paper prints; skipped without the table."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from raystudy.experiment import ExperimentError, load
from raystudy.imports import Read, read_all
from raystudy.ledger import Ledger
from raystudy.plan import plan
from raystudy.report.page import write_report
from raystudy.spec import Study
from raystudy.store import Store

from ..published import folder

FILE = Path(__file__).parents[2] / "experiments" / "released_grid.py"
TASKS = ("CIFAR100", "DTD", "CALTECH101", "PETS", "REAL", "CLIPART")
PRINTED = {
    "CC3M": "45.4/83.5 47.2/65.2 74.2/86.1 45.9/86.2 43.4/82.7 34.6/72.2",
    "CC12M": "45.1/83.1 48.2/65.9 71.7/85.7 42.1/85.5 43.9/82.7 35.7/72.4",
    "LAION": "46.2/83.7 49.3/65.8 75.0/86.9 41.6/85.7 43.7/82.8 34.6/70.4",
    "YFCC": "38.3/82.8 45.2/62.8 69.2/83.2 38.3/84.4 38.0/82.2 26.8/69.9",
    "RedCaps": "42.5/83.5 49.0/65.2 73.8/85.8 48.9/87.8 42.5/82.9 31.6/70.8",
    "WIT": "36.4/81.6 42.2/61.1 68.8/82.4 34.4/83.2 33.8/81.8 26.0/69.0",
    "Shutterstock": "45.9/83.3 51.8/68.6 74.8/86.3 42.7/86.7 42.6/82.8 36.6/72.3",
}
"""CLIP RN50 at 2.7M: accuracies in % at 10 shots and in full, of ``TASKS``."""
CURVE = (0, 1_000_000, 2_700_000, 5_000_000, 7_500_000, 9_600_000, 15_000_000)
PRINTED_CURVE = {
    "DTD": (44.6, 59.1, 65.8, 65.7, 67.0, 67.4, 68.8),
    "PETS": (68.0, 79.9, 85.7, 85.6, 85.7, 87.2, 87.5),
    "CIFAR100": (72.8, 80.2, 83.7, 82.6, 83.8, 83.4, 83.7),
}
"""LAION by size, fine-tuned on the full data."""
ROUNDING = 0.0501


def of(*arguments: str) -> Study:
    table = folder("19_pretraining_data_transfer") / "Hyperparameters_results.tsv"
    return load(FILE).study(["--table", str(table), *arguments])


@pytest.fixture(scope="module")
def grid() -> Read:
    return read_all(of())[0]


def accuracy(grid: Read, **axes: str | int) -> float:
    held = {"architecture": "RN50", "adaptation": "fine-tune (selected on test)"}
    rows = grid.records.filter(**held | axes)
    assert len(rows) == 1, (axes, rows)
    return 100 * rows["value"][0]


def test_without_the_table_there_is_one_clear_error(tmp_path: Path) -> None:
    study = load(FILE).study(["--table", str(tmp_path / "none.tsv")])
    with pytest.raises(FileNotFoundError, match=r"none\.tsv: no such file"):
        plan(study, Store(tmp_path))
    with pytest.raises(ExperimentError, match="no option --tabel; did you mean --table"):
        load(FILE).study(["--tabel", "x"])


@pytest.mark.parametrize("source", PRINTED)
def test_accuracies_by_source(grid: Read, source: str) -> None:
    for task, pair in zip(TASKS, PRINTED[source].split(), strict=True):
        for shots, printed in zip(("10", "full"), pair.split("/"), strict=True):
            found = accuracy(grid, source=source, size=2_700_000, task=task, shots=shots)
            assert found == pytest.approx(float(printed), abs=ROUNDING), (task, shots)


@pytest.mark.parametrize("task", PRINTED_CURVE)
def test_the_curve_of_laion(grid: Read, task: str) -> None:
    """All but 1M are the best of what the table has. At 1M the paper prints the rate that the
    other sizes were given, and the table has two higher ones, which do better: of the step from 1M
    to 2.7M, the steepest of the curve, that is a quarter (DTD) to nearly all (PETS)."""
    alike = read_all(of("--tuned-alike", "true"))[0]

    def at(found: Read, size: int) -> float:
        arm = {"method": "clip", "source": "LAION"} if size else {"method": "none"}
        return accuracy(found, size=size, task=task, shots="full", **arm)

    for size, printed in zip(CURVE, PRINTED_CURVE[task], strict=True):
        found = at(alike if size == 1_000_000 else grid, size)
        assert found == pytest.approx(printed, abs=ROUNDING), size
    best, shared = at(grid, 1_000_000), at(alike, 1_000_000)
    step = at(grid, 2_700_000) - shared
    assert best - shared > 0.2 * step


def test_supervised_imagenet(grid: Read) -> None:
    for task, printed in {"DTD": 71.2, "PETS": 92.6, "CIFAR100": 84.9}.items():
        found = accuracy(grid, method="supervised", source="ImageNet", task=task, shots="full")
        assert found == pytest.approx(printed, abs=ROUNDING)


def test_every_number_says_that_it_was_chosen_on_test(grid: Read) -> None:
    adaptations = set(grid.records["adaptation"])
    assert all(name.endswith(" (selected on test)") for name in adaptations)
    assert grid.selection == "test"
    assert set(grid.records["split"]) == {"test"}


def test_what_is_left_out_adds_up(grid: Read) -> None:
    """Every entry of the seven columns is kept, or counted among those that are not."""
    assert grid.num_rows == 947
    rows = grid.left_out["rows of us LAION0m"]
    left = grid.left_out["places without a number"]
    twice = grid.left_out["numbers that stand there twice"]
    assert rows == 3
    assert 7 * (947 - rows) == left + twice + grid.num_tried
    assert grid.records["num_tried"].sum() == grid.num_tried


def verdicts(study: Study, grid: Read) -> dict[str, str]:
    return {claim.statement: claim.judge(grid.records).status for claim in study.claims}


def test_one_run_an_arm_decides_only_what_is_asked_of_many_tasks(grid: Read) -> None:
    study = of()
    found = verdicts(study, grid)
    assert len(found) == len(study.claims) == 16
    decided = {text.split(" (")[0] for text, status in found.items() if status != "undecided"}
    assert decided == {"More LAION data raises accuracy on 6 tasks"}


def test_the_spreads_are_those_of_the_paper(grid: Read) -> None:
    said = {"CIFAR100": (9.8, 2.1), "PETS": (14.4, 4.7), "REAL": (10.1, 1.2), "DTD": (9.6, 7.5)}
    details = {getattr(c, "task", ""): c.judge(grid.records).detail for c in of().claims[1:7]}
    for task, (few, full) in said.items():
        assert details[task].startswith(f"max − min of means: {few} at 10, {full} at full shots")
        assert details[task].endswith("one seed, which gives no interval")


@pytest.mark.slow
def test_the_report(grid: Read, tmp_path: Path) -> None:
    page = write_report(of(), grid.records, tmp_path, {}).read_text()
    assert "were selected on the test examples they are reported on" in page
    assert "on DTD at full data supervised ImageNet 1,281,167 among 1 and clip CC3M" in page
    assert "clip LAION-2B checkpoint stands under RN50 and VITB32" in page
    assert "∞" not in page, "one run of each arm has no interval"
    tuning = pl.read_csv(tmp_path / "tuning.csv")
    assert tuning["most"].max() == 24


def test_a_store_with_it_has_nothing_left_to_run(grid: Read, tmp_path: Path) -> None:
    from raystudy.imports import keep

    keep([grid], Store(tmp_path))
    todo = plan(of(), Store(tmp_path))
    assert (todo.cells, todo.missing_cells) == ([], [])
    assert set(todo.imported[0].cells) == Ledger(Store(tmp_path)).cells()
