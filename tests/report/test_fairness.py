"""What a report says of numbers that others made, before anyone compares them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from raystudy.imported import Imported
from raystudy.imports import read
from raystudy.report import fairness
from raystudy.report.page import write_report
from raystudy.report.view import views
from raystudy.spec import Study

from .ledger_fixture import make_records, make_study
from .test_page import HOSTILE, Elements


def table(folder: Path, rows: list[dict[str, Any]], **fields: Any) -> tuple[Study, pl.DataFrame]:
    path = folder / "t.csv"
    pl.DataFrame(rows).write_csv(path)
    spec = Imported(path=str(path), **fields)
    return Study(name="others", tables=(spec,)), read(spec).records


def row(source: str, value: float, **axes: Any) -> dict[str, Any]:
    usual = {"lr": 0.1, "seed": 0, "size": 100, "architecture": "RN50", "shots": "full"}
    return {"source": source, "value": value} | usual | axes


def told(folder: Path, rows: list[dict[str, Any]], **fields: Any) -> str:
    return " ".join(fairness.sentences(*table(folder, rows, **fields)))


TWO_SEEDS = [row(s, 0.5, seed=seed) for s in "ab" for seed in (0, 1)]


def test_arms_that_are_alike_need_no_warning(tmp_path: Path) -> None:
    study, records = table(tmp_path, TWO_SEEDS)
    assert fairness.sentences(study, records) == []
    assert fairness.items(records) == []


def test_one_run_of_each_arm(tmp_path: Path) -> None:
    assert "no number here has an interval" in told(tmp_path, [row("a", 0.5), row("b", 0.6)])


def test_arms_that_were_tuned_unevenly(tmp_path: Path) -> None:
    rows = [row("a", 0.5, lr=lr) for lr in (0.1, 0.2, 0.3)] + [row("b", 0.6)]
    rows += [row(s, 0.6, shots="1") for s in "ab"]
    study, records = table(tmp_path, rows, hyper=("lr",))
    text = " ".join(fairness.sentences(study, records))
    assert "All accuracies were selected on the test examples they are reported on" in text
    assert "in 1 of 2 comparisons they chose among different numbers of settings" in text
    assert "on imported at full data imported b 100 among 1 and imported a 100 among 3." in text
    ((_, tuning),) = fairness.items(records)
    assert [line[0::3] for line in tuning.rows] == [
        ("imported a 100", "1–3"),
        ("imported b 100", "1"),
    ]


def test_a_curve_that_changes_its_network(tmp_path: Path) -> None:
    rows = [row(s, 0.5, size=n, seed=k) for s in "abc" for n in (100, 200) for k in (0, 1)]
    larger = [r["source"] == "a" and r["size"] == 200 for r in rows]
    changed = [
        r | {"architecture": "ViT" if v else "RN50"} for r, v in zip(rows, larger, strict=True)
    ]
    text = told(tmp_path, changed)
    assert "Most arms are RN50, but imported a changes with its size (RN50 at 100, ViT at" in text
    crossed = [r | {"architecture": n} for r in rows for n in ("RN50", "ViT")]
    assert told(tmp_path, crossed) == "", "every arm has both networks"
    alone = [r | {"architecture": "ViT"} if r["source"] == "a" else r for r in rows]
    assert "but imported a stands under ViT: their differences are of networks too" in told(
        tmp_path, alone
    )


def test_a_study_of_grids_is_not_told(tmp_path: Path) -> None:
    """Its plan is refused before it could be uneven."""
    records = make_records(seeds=1).with_columns(num_tried=pl.int_range(pl.len()))
    assert fairness.sentences(make_study(), records) == []


def test_axes_stand_as_in_the_table(tmp_path: Path) -> None:
    study, records = table(tmp_path, [row(s, 0.5) for s in ("zebra", "ape", "mole")])
    (view,) = views(study, records)
    assert view.sources == ("zebra", "ape", "mole")


def test_the_page_of_a_table(tmp_path: Path) -> None:
    """Names come from others: none becomes an element. Shots need no number of examples."""
    rows = [
        row(source, value, size=size, shots=shots, task=HOSTILE, seed=seed)
        for source, gain in ((HOSTILE, 0.1), ("b", 0.0))
        for size in (100, 200, 400)
        for shots, value in (("1", 0.2 + gain), ("full", 0.6 + gain))
        for seed in (0, 1, 2)
    ]
    rows += [row("none", 0.3, task=HOSTILE, shots="full", seed=seed) for seed in (0, 1, 2)]
    rows = [r | {"value": r["value"] + 0.01 * r["seed"] + r["size"] / 9000} for r in rows]
    rows = [r | {"architecture": HOSTILE, "how": f"fine-tune {HOSTILE}"} for r in rows]
    study, records = table(tmp_path, rows, columns={"adaptation": "how"})
    page = Elements(write_report(study, records, tmp_path / "out", {"from": HOSTILE}).read_text())
    assert "script" not in {name for name, _ in page.found}
    assert HOSTILE in page.text
    assert "training from scratch" in page.text
    assert "random features" not in page.text
    assert {"accuracy-by-shots.csv", "error-by-size.csv", "laws.csv"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }


def test_a_table_need_not_have_every_number(tmp_path: Path) -> None:
    """Ten shots of one source at a size of its own; the others have one shot and all."""
    rows = [row(s, 0.5, shots=k, size=100) for s in "abc" for k in ("1", "full")]
    study, records = table(tmp_path, [*rows, row("a", 0.6, shots="10", size=200)])
    page = write_report(study, records, tmp_path / "out", {}).read_text()
    assert "At full data a gives 50.0" in page
