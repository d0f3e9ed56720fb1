"""What a ledger says of transfer: losses from scratch and fine-tuned, by model size and amount of
data, ready for ``raystudy.laws.transfer``.

The arm from scratch is untrained backbones under the same adaptation. Records need the column
``parameters`` (``raystudy.annotate``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import polars as pl

from raystudy.intervals import COVERAGE
from raystudy.laws.status import FitError
from raystudy.laws.transfer import SCRATCH, Point, Transfer, TransferRuns, transfer
from raystudy.laws.transferred import Reading

LOSSES = ("token-loss", "nll")
"""Metrics that transfer is measured in: the first that a task has."""
UNTRAINED = "none"
"""The ledger's method of a backbone that saw no data."""
ARM = ("source", "method", "noise", "size")
"""What makes an arm another; it is called by no more of them than tell it from the rest."""
SCHEMA = pl.Schema(
    {
        "arm": pl.String,
        "architecture": pl.String,
        "N": pl.Float64,
        "D_F": pl.Float64,
        "seed": pl.Int64,
        "loss": pl.Float64,
        "flops": pl.Float64,
        "pretraining_flops": pl.Float64,
        "chosen": pl.String,
    }
)
"""Of ``Suite.table``, one row a run. ``flops`` are those of training at one learning rate, the mean
of all that were tried; null where the adaptation or the study does not count."""
EXAMPLES = ("examples", 1)


@dataclass(frozen=True, eq=False)
class Suite:
    """The runs of one task and adaptation. ``unit`` is what data is counted in."""

    task: str
    adaptation: str
    metric: str
    unit: str
    per_example: int
    table: pl.DataFrame

    @property
    def title(self) -> str:
        return f"Transfer to {self.task}"

    @property
    def runs(self) -> TransferRuns:
        names = ("arm", "N", "D_F", "seed", "loss")
        return TransferRuns(*(self.table[name].to_numpy() for name in names))

    @cached_property
    def measured(self) -> Transfer:
        """Raises FitError as ``raystudy.laws.transfer.transfer``."""
        return transfer(self.runs)


def suites(
    records: pl.DataFrame, units: Mapping[str, tuple[str, int]] | None = None
) -> list[Suite]:
    """One for each task and adaptation that was run from scratch and after pre-training alike.
    ``units`` are ``Task.unit`` by the task's name. Raises ValueError for runs that share a place.
    """
    found = []
    places = records.select("task", "adaptation").unique().sort("task", "adaptation")
    for task, adaptation in places.iter_rows():
        unit, per_example = (units or {}).get(task, EXAMPLES)
        own = records.filter(task=task, adaptation=adaptation)
        metric = next((name for name in LOSSES if name in set(own["metric"])), "")
        table = _table(own, metric, per_example)
        trained = table.filter(pl.col("arm") != SCRATCH)
        if len(trained) and len(trained) < len(table):
            found.append(Suite(task, adaptation, metric, unit, per_example, table))
    return found


def measured_arms(
    records: pl.DataFrame,
    task: str,
    sources: Sequence[str],
    *,
    adaptation: str | None = None,
    method: str | None = None,
    coverage: float = COVERAGE,
) -> Transfer:
    """Transfer from clean data of ``sources``, which are the names of its arms.

    Raises ValueError, saying what is missing or ambiguous.
    """
    if "parameters" not in records.columns:
        raise ValueError("transfer needs the sizes of models (raystudy.annotate)")
    wanted = {"task": task, "adaptation": adaptation}
    rows = records.filter(pl.col(k) == v for k, v in wanted.items() if v is not None)
    trained = pl.col("source").is_in(list(sources)) & (pl.col("noise") == "clean")
    if method is not None:
        trained &= pl.col("method") == method
    found = suites(rows.filter(trained | (pl.col("method") == UNTRAINED)))
    if len(found) != 1:
        names = ", ".join(suite.adaptation for suite in found)
        raise ValueError(
            f"{task} has several adaptations, {names}; name one"
            if found
            else f"no losses on {task} from scratch and after {' and '.join(sources)}; run them"
        )
    arms = set(found[0].table["arm"]) - {SCRATCH}
    if missing := [source for source in sources if source not in arms]:
        if len(arms) < len(sources):
            raise ValueError(f"no loss on {task} after {missing[0]}; run it")
        raise ValueError(
            f"arms differ in more than their source: {', '.join(sorted(arms))}; name the method, "
            "and judge one pre-training size"
        )
    try:
        return transfer(found[0].runs, coverage=coverage)
    except FitError as refusal:
        raise ValueError(str(refusal)) from refusal


@dataclass(frozen=True)
class Gap:
    """Points of a model size that the from-scratch runs tell too little of; ``why`` in words, and
    the ``sizes`` that would tell more."""

    N: float
    why: str
    sizes: tuple[float, ...]
    points: tuple[Point, ...]


def gaps(measured: Transfer) -> list[Gap]:
    """What is missing from scratch: where D_E is but a bound, and where it lies between two runs so
    far apart that the form of the curve decides."""
    found = []
    for n, curve in sorted(measured.curves.items()):
        points = [point for point in measured.points if n == point.N]
        smallest, largest = float(curve.sizes[0]), float(curve.sizes[-1])
        beyond = tuple(p for p in points if p.worth.reading is Reading.AT_LEAST)
        short = tuple(p for p in points if p.worth.reading is Reading.AT_MOST)
        if beyond:
            found.append(Gap(n, "beyond the runs from scratch", (2 * largest, 4 * largest), beyond))
        if short:
            found.append(Gap(n, "short of the runs from scratch", (smallest / 2,), short))
        loose = {
            round((low * high) ** 0.5): own
            for low, high in pairwise(curve.sizes.tolist())
            if (own := [p for p in points if low < p.worth.D_E[0] <= high and p.is_loose])
        }
        if loose:
            own = tuple(point for of_size in loose.values() for point in of_size)
            found.append(Gap(n, "known by the form of the curve alone", tuple(loose), own))
    return found


def gap_sentences(suite: Suite) -> list[str]:
    """What to run from scratch, one sentence a gap."""
    told = []
    for gap in gaps(suite.measured):
        total = sum(point.N == gap.N for point in suite.measured.points)
        sizes = _listed(gap.sizes)
        if suite.per_example > 1:
            examples = _listed([size / suite.per_example for size in gap.sizes])
            sizes = f"{examples} training examples ({sizes} {suite.unit})"
        else:
            sizes = f"{sizes} {suite.unit}"
        told.append(
            f"With {gap.N:,.0f} parameters D_E is {gap.why}, at {len(gap.points)} of {total} "
            f"points: run from scratch on about {sizes}."
        )
    return told


def _listed(sizes: Sequence[float]) -> str:
    *first, last = (f"{size:,.0f}" for size in sizes)
    return f"{', '.join(first)} and {last}" if first else last


def _table(records: pl.DataFrame, metric: str, per_example: int) -> pl.DataFrame:
    """``SCHEMA``."""
    rows = records.filter(split="test", metric=metric)
    rows = rows.filter(pl.col("parameters").is_not_null(), pl.col("num_train") > 0)
    trained = rows.filter(pl.col("method") != UNTRAINED)
    spent = records.filter(split="cost", metric="flops").select("cell", spent="value")
    if "pretraining_flops" not in rows.columns:
        rows = rows.with_columns(pretraining_flops=pl.lit(None, pl.Float64))
    named = pl.concat_str(_telling(trained), separator=" ")
    table = (
        rows.join(spent, on="cell", how="left")
        .select(
            pl.when(pl.col("method") == UNTRAINED)
            .then(pl.lit(SCRATCH))
            .otherwise(named)
            .alias("arm"),
            "architecture",
            pl.col("parameters").alias("N"),
            (per_example * pl.col("num_train")).alias("D_F"),
            "seed",
            pl.col("value").alias("loss"),
            (pl.col("spent") / pl.col("num_tried")).alias("flops"),
            "pretraining_flops",
            "chosen",
        )
        .cast(dict(SCHEMA))  # pyright: ignore[reportArgumentType]
        .sort("arm", "N", "D_F", "seed")
    )
    if (twice := table.select("arm", "N", "D_F", "seed").is_duplicated()).any():
        arm, architecture, n, *_ = table.filter(twice).row(0)
        raise ValueError(
            f"two runs of {arm or 'from scratch'} with {n:,.0f} parameters ({architecture}) have "
            "the same data and seed; give each model size one architecture"
        )
    if not np.isfinite(table["loss"].to_numpy()).all():
        table = table.filter(pl.col("loss").is_finite())
    return table


def _telling(trained: pl.DataFrame) -> list[str]:
    """The first columns of ``ARM`` that differ and together tell all arms apart."""
    arms = trained.select(ARM).unique()
    told = ["source"]
    for name in ARM[1:]:
        if len(arms.unique(told)) == len(arms):
            break
        if len(arms.unique([*told, name])) > len(arms.unique(told)):
            told.append(name)
    return told
