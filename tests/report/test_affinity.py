import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import pytest

from raystudy.kinds import Group
from raystudy.ledger import SCHEMA
from raystudy.report.affinity import (
    affinity_figure,
    affinity_sentences,
    affinity_table,
    suites,
)
from raystudy.report.page import write_report
from raystudy.spec import Architecture, Grid, Study

from .ledger_fixture import (
    NamedAdaptation,
    NamedMethod,
    NamedSource,
    NamedTask,
    make_records,
    make_study,
)

# Affinity and gain in points, and what fine-tuning leads Head2Toe by.
TASKS: dict[str, tuple[Group | Literal[""], float, float, float]] = {
    "letters": ("natural", 20.0, -1.0, 2.0),
    "scripts": ("natural", 12.0, 4.0, -1.0),
    "styles": ("specialised", 2.0, 8.0, 0.0),
    "counts": ("structured", -10.0, 25.0, 1.0),
    "places": ("", -30.0, 38.0, -4.0),
}
PROBE = 55.0
NUM_TRIED = {"linear-probe": 4, "head2toe": 52, "fine-tune": 3}
SPREAD = 0.5
"""Points by which seeds lie below and above, of Head2Toe alone."""


class GroupedTask(NamedTask):
    of: Group | Literal[""] = ""

    @property
    def group(self) -> Group | None:
        return self.of or None


def suite_records(
    seeds: Sequence[int] = (0, 1),
    architecture: str = "resnet",
    tasks: Sequence[str] = tuple(TASKS),
    head: str = "head2toe",
) -> pl.DataFrame:
    rows = []
    for task, seed in ((t, s) for t in tasks for s in seeds):
        _, affinity, gain, lead = TASKS[task]
        own = SPREAD * (2 * seed - 1)
        of = {
            ("supervised", "linear-probe"): PROBE,
            ("supervised", head): PROBE + gain + own,
            ("supervised", "fine-tune"): PROBE + gain + lead,
            ("none", "fine-tune"): PROBE - affinity,
        }
        for (method, adaptation), points in of.items():
            cell = f"{architecture}/{task}/{seed}/{method}/{adaptation}"
            axes = {"method": method, "adaptation": adaptation, "task": task, "seed": seed}
            axes |= {"source": "none", "size": 0} if method == "none" else LATIN
            axes |= {"cell": cell, "architecture": architecture, "shots": "full", "noise": "clean"}
            axes |= {"noise_rate": 0.0, "num_train": 800, "num_tried": NUM_TRIED.get(adaptation, 9)}
            for split, share in (("test", points / 100), ("validation", 0.99)):
                rows.append(axes | {"split": split, "metric": "accuracy", "value": share})
                rows.append(axes | {"split": split, "metric": "nll", "value": 1.0})
            rows.append(axes | {"split": "cost", "metric": "flops", "value": 1e9})
    return pl.DataFrame(rows, schema=SCHEMA)


LATIN = {"source": "latin", "size": 8000}


def suite_study(**changes: Any) -> Study:
    shared = {
        "architectures": (Architecture(name="resnet"),),
        "tasks": tuple(GroupedTask(label=t, of=g) for t, (g, *_) in TASKS.items()),
        "adaptations": tuple(NamedAdaptation(label=name) for name in NUM_TRIED),
        "shots": ("full",),
        "seeds": (0, 1),
    }
    grid = Grid(
        methods=(NamedMethod(label="supervised"),),
        sources=(NamedSource(label="latin"),),
        sizes=(8000,),
        **shared,
    )
    return Study(name="suite", grids=(grid, Grid(**shared)), **changes)


def test_affinity_and_gain_are_those_of_the_ledger() -> None:
    (suite,) = suites(suite_study(), suite_records())
    numbers = suite.numbers
    assert numbers["task"].to_list() == ["places", "counts", "styles", "scripts", "letters"]
    for row in numbers.iter_rows(named=True):
        group, affinity, gain, lead = TASKS[row["task"]]
        assert row["group"] == group
        assert [row["affinity"], row["gain"]] == pytest.approx([affinity / 100, gain / 100])
        assert row["fine_tuning"] - row["head2toe"] == pytest.approx(lead / 100)
        own = [row["gain_lowest"], row["gain_highest"]]
        assert own == pytest.approx([(gain - SPREAD) / 100, (gain + SPREAD) / 100])
        assert row["num_seeds"] == 2


def test_the_figure_has_a_point_a_task_and_says_where_most_is_gained() -> None:
    drawn = affinity_figure(suites(suite_study(), suite_records())[0])
    (axes,) = drawn.figure.axes
    names = {text.get_text() for text in axes.texts}
    assert names == set(TASKS)
    at = {
        (round(x), round(y))
        for line in axes.lines
        if line.get_marker() != "None"
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)  # pyright: ignore
    }
    assert at == {(affinity, gain) for _, affinity, gain, _ in TASKS.values()}
    assert "gains most on places: +38.0 points at an affinity of −30.0" in drawn.caption
    assert "least on letters: −1.0 at +20.0" in drawn.caption


def test_the_table_ends_with_means_and_tells_how_many_were_tried() -> None:
    table = affinity_table(suites(suite_study(), suite_records())[0])
    assert table.rows[0] == ("places", "55.0", "93.0", "89.0", "85.0", "−30.0", "+38.0")
    mean = np.mean([(affinity, gain) for _, affinity, gain, _ in TASKS.values()], axis=0)
    assert table.rows[-1][0] == "mean"
    assert table.rows[-1][2] == f"{PROBE + mean[1]:.1f}"
    assert [float(c.replace("−", "-")) for c in table.rows[-1][5:]] == pytest.approx(mean, abs=0.05)
    assert "of 4 linear probes, 52 heads of Head2Toe and 3 fine-tunings" in table.caption


def test_the_answer_compares_means_over_the_suite_in_pairs() -> None:
    (sentence,) = affinity_sentences(suites(suite_study(), suite_records())[0])
    assert "Over 5 tasks" in sentence
    assert "gets 69.8\N{NO-BREAK SPACE}% of test images right" in sentence
    # Student's t with one degree of freedom: 12.7 standard errors of half a point.
    assert "0.4 points (−6.0 to 6.8) ahead of fine-tuning" in sentence
    assert "14.8 points (8.4 to 21.2) ahead of a linear probe" in sentence


def test_to_lose_is_to_be_behind() -> None:
    tuned = (pl.col("adaptation") == "fine-tune") & (pl.col("method") == "supervised")
    value = pl.when(tuned).then(pl.col("value") + 0.02).otherwise(pl.col("value"))
    records = suite_records().with_columns(value=value)
    (sentence,) = affinity_sentences(suites(suite_study(), records)[0])
    assert "1.6 points (−4.8 to 8.0) behind fine-tuning" in sentence


def test_what_all_names_begin_with_is_left_out_of_labels() -> None:
    task = pl.lit("vtab-dsprites-") + pl.col("task")
    drawn = affinity_figure(suites(suite_study(), suite_records().with_columns(task=task))[0])
    assert {text.get_text() for text in drawn.figure.axes[0].texts} == set(TASKS)
    assert "vtab-dsprites-places" in drawn.caption


def test_fine_tuning_may_be_missing_on_some_tasks() -> None:
    absent = (pl.col("task") == "letters") & (pl.col("method") == "supervised")
    records = suite_records().filter(~(absent & (pl.col("adaptation") == "fine-tune")))
    (suite,) = suites(suite_study(), records)
    rows = {row[0]: row for row in affinity_table(suite).rows}
    assert rows["letters"][3] == rows["mean"][3] == "—"
    assert rows["places"][3] == "89.0"
    assert "fine-tuning" not in affinity_sentences(suite)[0]


@pytest.mark.parametrize(
    "without",
    [
        pl.col("adaptation") == "head2toe",
        pl.col("adaptation") == "linear-probe",
        pl.col("method") == "none",
        pl.col("task") != "letters",
    ],
)
def test_without_its_cells_nothing_is_drawn(without: pl.Expr) -> None:
    assert suites(suite_study(), suite_records().filter(~without)) == []


def test_only_tasks_and_seeds_with_all_three_count() -> None:
    lost = (pl.col("task") == "letters") & (pl.col("method") == "none")
    lost |= (pl.col("task") == "styles") & (pl.col("seed") == 1)
    (suite,) = suites(suite_study(), suite_records().filter(~lost))
    counts = dict(suite.numbers.select("task", "num_seeds").iter_rows())
    assert counts == {"places": 2, "counts": 2, "styles": 1, "scripts": 2}


def test_each_architecture_is_compared_with_its_own_kind() -> None:
    alone = suite_records(architecture="vit").filter(pl.col("method") != "none")
    assert len(suites(suite_study(), pl.concat([suite_records(), alone]))) == 1
    both = pl.concat([suite_records(), suite_records(architecture="vit")])
    assert len({suite.name for suite in suites(suite_study(), both)}) == 2


def test_the_published_solver_is_drawn_where_it_is_alone() -> None:
    (suite,) = suites(suite_study(), suite_records(head="head2toe-adam"))
    assert suite.head == "head2toe-adam"
    assert suite.numbers["gain"].max() == pytest.approx(0.38)


def test_the_page_leads_with_the_suite_and_leaves_lone_arms_to_its_table(tmp_path: Path) -> None:
    page = write_report(suite_study(), suite_records(), tmp_path, {}).read_text()
    names = {path.name for path in tmp_path.iterdir()}
    figure = {f"affinity.{ext}" for ext in ("pdf", "svg", "csv")}
    assert names == {"report.html", "claims.csv", "suite.csv"} | figure
    assert len(re.findall("<h2>", page)) == 1
    assert page.count("<svg") == 1
    for word in ("nan", "None", "inf "):
        assert word not in re.sub(r"<svg.*?</svg>|<style>.*?</style>", "", page, flags=re.S)


def test_two_suites_have_files_of_their_own(tmp_path: Path) -> None:
    both = pl.concat([suite_records(), suite_records(architecture="vit")])
    write_report(suite_study(), both, tmp_path, {})
    assert len(list(tmp_path.glob("*-affinity.pdf"))) == 2


def test_what_compares_more_keeps_its_part(tmp_path: Path) -> None:
    both = pl.concat([suite_records(), make_records(2)])
    page = write_report(make_study(claims=()), both, tmp_path, {}).read_text()
    titles = re.findall("<h2>(.*?)</h2>", page)
    assert titles == ["5 tasks, resnet, supervised latin", "digits, resnet"]


def test_one_seed_has_no_bars(tmp_path: Path) -> None:
    drawn = affinity_figure(suites(suite_study(), suite_records(seeds=(0,)))[0])
    assert "bars" not in drawn.caption
    page = write_report(suite_study(), suite_records(seeds=(0,)), tmp_path, {}).read_text()
    assert "nan" not in re.sub(r"<svg.*?</svg>|<style>.*?</style>", "", page, flags=re.S)
