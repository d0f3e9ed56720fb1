"""What Head2Toe gains over a linear probe, task by task, by how well pre-training suits the task.

*Domain affinity* is the accuracy of a linear probe less that of the same network trained from
scratch (Evci et al. 2022, arXiv 2201.03529): low where the last layer is of little use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from raystudy.report.figures import Drawn
from raystudy.report.point_labels import label_points
from raystudy.report.style import BASELINE_COLOUR, canvas, looks
from raystudy.report.tables import Table
from raystudy.report.view import BASELINE, in_order, seed_means
from raystudy.report.words import (
    listing,
    percent,
    plural,
    points,
    pretrained,
    short,
    shots_phrase,
    signed,
)
from raystudy.spec import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PROBE, FINE_TUNING = "linear-probe", "fine-tune"
HEADS = ("head2toe", "head2toe-adam")
ARM = ["architecture", "method", "source", "size", "noise"]
COLUMNS = {
    PROBE: "linear_probe",
    "head": "head2toe",
    FINE_TUNING: "fine_tuning",
    "scratch": "from_scratch",
}
FEWEST_TASKS = 2
GROUPS = ("natural", "specialised", "structured")


@dataclass(frozen=True)
class Suite:
    """The tasks on which one backbone has all that affinity and gain take."""

    arm: dict[str, Any]
    head: str
    shots: str
    runs: pl.DataFrame
    """One row a task and seed: accuracies in [0, 1], ``fine_tuning`` may be null."""
    groups: dict[str, str]
    """Task → its group in VTAB, where that is known."""
    num_tried: dict[str, int]

    @property
    def title(self) -> str:
        how = f"{self.arm['method']} {self.arm['source']}"
        noise = "" if self.arm["noise"] == "clean" else f", {self.arm['noise']}"
        return f"{self.runs['task'].n_unique()} tasks, {self.arm['architecture']}, {how}{noise}"

    @property
    def name(self) -> str:
        """What tells it from the other suites of a study."""
        few = [] if self.shots == "full" else [self.shots]
        return "-".join(str(v) for v in (*self.arm.values(), *few))

    @property
    def numbers(self) -> pl.DataFrame:
        """One row a task, lowest affinity first: means over seeds, and for affinity and gain the
        least and the most of any seed."""
        means = pl.col(*COLUMNS.values(), "affinity", "gain").mean()
        ranges = [
            getattr(pl.col(name), f)().alias(f"{name}_{end}")
            for name in ("affinity", "gain")
            for f, end in (("min", "lowest"), ("max", "highest"))
        ]
        table = self.runs.group_by("task", maintain_order=True).agg(
            means, *ranges, pl.len().alias("num_seeds")
        )
        group = pl.col("task").replace_strict(self.groups, default="", return_dtype=pl.String)
        return table.insert_column(1, table.select(group.alias("group"))["group"]).sort("affinity")

    @property
    def num_seeds(self) -> int:
        return self.runs["seed"].n_unique()


def suites(study: Study, records: pl.DataFrame) -> list[Suite]:
    """One for each pre-trained backbone with a linear probe and Head2Toe on two tasks or more that
    an untrained one of its architecture was fine-tuned on; none where there is no such."""
    rows = records.filter(metric="accuracy", split="test")
    heads = [head for head in HEADS if head in set(rows["adaptation"])]
    if not heads:
        return []
    head = heads[0]
    rows = rows.filter(pl.col("adaptation").is_in([PROBE, head, FINE_TUNING]))
    trained = rows.filter(pl.col("method") != BASELINE)
    found = []
    for values, arm in trained.sort(ARM).group_by(*ARM, "shots", maintain_order=True):
        place = dict(zip(ARM, values, strict=False))
        shots = values[-1]
        untrained = rows.filter(
            method=BASELINE,
            architecture=place["architecture"],
            adaptation=FINE_TUNING,
            shots=shots,
        )
        runs = _side_by_side(arm, head, untrained)
        if runs["task"].n_unique() >= FEWEST_TASKS:
            tried = dict(arm.group_by("adaptation").agg(pl.col("num_tried").max()).iter_rows())
            tasks = [task for grid in study.grids for task in grid.tasks]
            runs = in_order(runs, task=dict.fromkeys(task.name for task in tasks))
            groups = {task.name: task.group or "" for task in tasks}
            found.append(Suite(place, head, str(shots), runs, groups, tried))
    return found


def affinity_figure(suite: Suite) -> Drawn:
    """One point a task: gain over a linear probe against domain affinity."""
    numbers = suite.numbers
    x, y = (100 * numbers[c].to_numpy() for c in ("affinity", "gain"))
    groups = [g for g in (*GROUPS, "") if g in set(numbers["group"])]
    look = looks(groups)
    with canvas(height=4.6) as (figure, axes):
        axes.axhline(0, color=BASELINE_COLOUR, linewidth=1)
        for group in groups:
            own = numbers.filter(group=group)
            colour, marker = look[group]
            _crosses(axes, own, colour)
            at = (100 * own[c].to_numpy() for c in ("affinity", "gain"))
            axes.plot(*at, marker, color=colour, markersize=6, label=group or "other tasks")
        axes.margins(0.12, 0.09)
        axes.set_xlim(axes.get_xlim())
        axes.set_ylim(axes.get_ylim())
        if len(x) > 2:
            ends = np.array([x.min(), x.max()])
            line = np.polynomial.Polynomial.fit(x, y, 1)
            axes.plot(ends, line(ends), "--", color=BASELINE_COLOUR, linewidth=1.2, zorder=1)
        colours = [look[group][0] for group in numbers["group"]]
        label_points(axes, x, y, short(numbers["task"].to_list()), colours)
        axes.set_xlabel("domain affinity: linear probe − from scratch (points)")
        axes.set_ylabel("gain: Head2Toe − linear probe (points)")
        if len(groups) > 1:
            figure.legend(loc="outside upper left", ncols=len(groups))
    return Drawn(
        "affinity",
        "What Head2Toe gains, by domain affinity",
        _caption(suite, numbers),
        figure,
        numbers,
    )


def affinity_table(suite: Suite) -> Table:
    """The numbers of the figure, with what fine-tuning gives, lowest affinity first."""
    numbers = suite.numbers
    rows = [_row(row["task"], row) for row in numbers.iter_rows(named=True)]
    mean = numbers.select(pl.col(*COLUMNS.values(), "affinity", "gain").mean())
    if numbers["fine_tuning"].null_count():  # a mean over other tasks would mislead
        mean = mean.with_columns(fine_tuning=pl.lit(None))
    rows.append(_row("mean", mean.row(0, named=True)))
    tried = suite.num_tried
    choices = [f"{tried[PROBE]} linear probes", f"{tried[suite.head]} heads of Head2Toe"]
    if FINE_TUNING in tried:
        choices.append(f"{plural(tried[FINE_TUNING], 'fine-tuning', 0)}")
    return Table(
        "suite",
        "Adaptations, task by task",
        f"Test accuracy in % at {shots_phrase(suite.shots)}, means over "
        f"{plural(suite.num_seeds, 'seed', 0)}; affinity and gain in points. Each is the one that "
        f"does best on validation examples, of {listing(choices)}.",
        (
            "task",
            "linear probe",
            "Head2Toe",
            "fine-tuning",
            "from scratch",
            "affinity",
            "gain",
        ),
        rows,
        numbers,
    )


def affinity_sentences(suite: Suite) -> list[str]:
    """What Head2Toe is worth over the whole suite."""
    of_seed = suite.runs.group_by("seed", maintain_order=True).agg(
        pl.col(*COLUMNS.values()).mean(), pl.col("fine_tuning").null_count().alias("untuned")
    )
    level = float(of_seed["head2toe"].to_numpy().mean())
    how = f"{suite.arm['method']} {suite.arm['source']} pre-training"
    text = (
        f"Over {plural(suite.runs['task'].n_unique(), 'task', 0)}, Head2Toe on {how} "
        f"({pretrained(suite.arm['size'])}) gets {percent(level)} of test images right"
    )
    others = {"linear_probe": "a linear probe", "from_scratch": "training from scratch"}
    if not of_seed["untuned"].sum():
        others["fine_tuning"] = "fine-tuning"
    return [f"{text}: {listing([_lead(of_seed, c, name) for c, name in others.items()])}."]


def _side_by_side(arm: pl.DataFrame, head: str, untrained: pl.DataFrame) -> pl.DataFrame:
    """Rows of tasks and seeds that have a probe, a head and training from scratch."""
    by = ["task", "seed"]

    def of(rows: pl.DataFrame, name: str) -> pl.DataFrame:
        return rows.select(*by, pl.col("value").alias(COLUMNS[name]))

    runs = (
        of(arm.filter(adaptation=PROBE), PROBE)
        .join(of(arm.filter(adaptation=head), "head"), on=by)
        .join(of(arm.filter(adaptation=FINE_TUNING), FINE_TUNING), on=by, how="left")
        .join(of(untrained, "scratch"), on=by)
    )
    return runs.with_columns(
        affinity=pl.col("linear_probe") - pl.col("from_scratch"),
        gain=pl.col("head2toe") - pl.col("linear_probe"),
    ).sort(by)


def _row(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    shares = ["—" if row[c] is None else f"{100 * row[c]:.1f}" for c in COLUMNS.values()]
    return (name, *shares, *(signed(100 * row[c], plus=True) for c in ("affinity", "gain")))


def _lead(of_seed: pl.DataFrame, column: str, name: str) -> str:
    """How far Head2Toe is ahead of another, in pairs; or behind it."""
    values = of_seed.select(value=pl.col("head2toe") - pl.col(column))
    ahead = float(values["value"].to_numpy().mean()) >= 0
    lead = values.with_columns(value=pl.col("value") * (1 if ahead else -1), arm=pl.lit(""))
    gap = seed_means(lead, "arm").row(0, named=True)
    return f"{points(gap | {'mean': gap['accuracy']})} {'ahead of' if ahead else 'behind'} {name}"


def _caption(suite: Suite, numbers: pl.DataFrame) -> str:
    most = numbers.sort("gain").row(-1, named=True)
    least = numbers.sort("gain").row(0, named=True)
    bars = "; bars reach from the lowest to the highest seed" if suite.num_seeds > 1 else ""
    line = " The dashed line is fitted by least squares." if len(numbers) > 2 else ""
    return (
        f"A point is a task at {shots_phrase(suite.shots)}, the mean of "
        f"{plural(suite.num_seeds, 'seed', 0)}{bars}. Head2Toe gains most on {most['task']}: "
        f"{signed(100 * most['gain'], plus=True)} points at an affinity of "
        f"{signed(100 * most['affinity'], plus=True)}; and least on {least['task']}: "
        f"{signed(100 * least['gain'], plus=True)} at {signed(100 * least['affinity'], plus=True)}."
        f"{line}"
    )


def _crosses(axes: Axes, numbers: pl.DataFrame, colour: str) -> None:
    """From the least to the most of any seed, both ways."""
    rows = numbers.with_columns(pl.col(pl.Float64) * 100).iter_rows(named=True)
    for r in rows:
        line = {"color": colour, "alpha": 0.45, "linewidth": 1.6}
        axes.plot([r["affinity_lowest"], r["affinity_highest"]], [r["gain"]] * 2, **line)
        axes.plot([r["affinity"]] * 2, [r["gain_lowest"], r["gain_highest"]], **line)
