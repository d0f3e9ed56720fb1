"""What a report looks at: the accuracies of one task and architecture, and the arms it compares."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import polars as pl

from raystudy.arms import headline_shots
from raystudy.intervals import mean_interval
from raystudy.spec import Study

BASELINE = "none"
"""The ledger's method and source of a backbone that saw no data."""


ARM = [
    *("task", "architecture", "method", "source", "size", "noise"),
    *("adaptation", "shots", "seed", "split"),
]


class MissingCellsError(ValueError):
    """A figure or table that the ledger cannot fill; the message says what it would take."""


@dataclass(frozen=True)
class View:
    """Accuracies in [0, 1], one row per (cell, split), and each axis in the study's order."""

    records: pl.DataFrame
    task: str
    architecture: str
    methods: tuple[str, ...]
    sources: tuple[str, ...]
    noises: tuple[str, ...]
    adaptations: tuple[str, ...]
    shots: tuple[str, ...]
    """Ordered by count, without "0"; "full" comes last."""

    @property
    def method(self) -> str:
        """The study's first method: the one that sources and noise rates are compared under."""
        return self.methods[0]

    @property
    def probe(self) -> str:
        """The study's first adaptation that uses labelled examples."""
        trained = self.records.filter(pl.col("shots") != "0")["adaptation"].unique()
        return next(a for a in self.adaptations if a in trained)

    @property
    def few(self) -> str:
        """The few-shot setting nearest to ten examples per class."""
        return headline_shots(s for s in self.shots if s != "full")

    @property
    def size(self) -> int:
        """The largest pre-training size that most sources share."""
        arms = self.test(method=self.method, noise="clean", adaptation=self.probe)
        shared = arms.group_by("size").agg(pl.col("source").n_unique())
        return shared.sort("source", "size")["size"][-1] if len(shared) else 0

    @property
    def compares(self) -> bool:
        """Whether there is more than one arm to look at, shots included."""
        trained = self.records.filter(pl.col("method") != BASELINE, pl.col("shots") != "0")
        arms = trained.select("method", "source", "size", "noise", "shots")
        return arms.n_unique() > 1

    def test(self, **axes: str | int) -> pl.DataFrame:
        """The rows of the plain test split whose columns equal ``axes``."""
        return self.records.filter(split="test", **axes)


def views(study: Study, records: pl.DataFrame) -> list[View]:
    """One view per task and architecture of the ledger that was pre-trained at all.

    Raises MissingCellsError if no pre-trained backbone has a test accuracy, and ValueError if two
    cells differ in nothing that a figure shows.
    """
    accuracy = records.filter(pl.col("metric") == "accuracy")
    if len(twice := accuracy.filter(accuracy.select(ARM).is_duplicated())):
        arm = ", ".join(f"{k} {v}" for k, v in twice.select(ARM).row(0, named=True).items())
        raise ValueError(
            f"{twice['cell'].n_unique()} cells share their place in the report with another, such "
            f"as {arm}; give the variants names of their own, or a study each"
        )
    tasks = _ordered(study, (t.name for g in study.grids for t in g.tasks), accuracy, "task")
    titles = (a.title for g in study.grids for a in g.architectures)
    names = _ordered(study, titles, accuracy, "architecture")
    found = [
        _view(study, accuracy.filter(task=t, architecture=a), t, a) for t in tasks for a in names
    ]
    found = [view for view in found if view]
    if not found:
        raise MissingCellsError("no pre-trained backbone has a test accuracy yet; finish one")
    return found


def seed_means(frame: pl.DataFrame, *by: str) -> pl.DataFrame:
    """Mean over seeds with its 95 % interval: columns ``by``, accuracy, low, high, num_seeds.

    The interval is Student's, over seeds; null for a single seed.
    """
    rows = []
    for names, group in frame.group_by(by, maintain_order=True):
        mean, low, high = mean_interval(group["value"].to_numpy())
        rows.append((*names, mean, low, high, len(group)))
    schema = {name: frame.schema[name] for name in by}
    numbers = {"accuracy": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    table = pl.DataFrame(rows, schema=schema | numbers | {"num_seeds": pl.Int64}, orient="row")
    finite = pl.when(pl.col("num_seeds") > 1)
    return table.with_columns(finite.then("low").alias("low"), finite.then("high").alias("high"))


def difference(a: pl.DataFrame, b: pl.DataFrame, column: str = "value") -> dict[str, Any] | None:
    """Mean of ``a`` − ``b`` over the seeds they share, with its 95 % interval.

    Keys mean, low, high (None for a single seed) and num_seeds; None where no seed is shared.
    """
    pairs = a.join(b, on="seed", suffix="_b")
    if pairs.is_empty():
        return None
    mean, low, high = mean_interval((pairs[column] - pairs[f"{column}_b"]).to_numpy())
    one = len(pairs) == 1
    return {
        "mean": mean,
        "low": None if one else low,
        "high": None if one else high,
        "num_seeds": len(pairs),
    }


def in_order(frame: pl.DataFrame, **orders: Iterable[str]) -> pl.DataFrame:
    """``frame`` sorted by columns whose values come in a given order."""
    ranks = [
        pl.col(column).replace_strict({v: i for i, v in enumerate(order)}, default=None)
        for column, order in orders.items()
    ]
    return frame.sort(ranks, maintain_order=True)


def _view(study: Study, records: pl.DataFrame, task: str, architecture: str) -> View | None:
    trained = records.filter(pl.col("method") != BASELINE, pl.col("split") == "test")
    shots = sorted(
        set(trained["shots"]) - {"0"}, key=lambda s: float("inf") if s == "full" else int(s)
    )
    if not shots:
        return None
    methods = (m.name for g in study.grids for m in g.methods)
    sources = (s.name for g in study.grids for s in g.sources)
    adaptations = (a.name for g in study.grids for a in g.adaptations)
    noises = trained.select("noise", "noise_rate").unique().sort("noise_rate", "noise")["noise"]
    return View(
        records=records,
        task=task,
        architecture=architecture,
        methods=_ordered(study, methods, trained, "method"),
        sources=_ordered(study, sources, trained, "source"),
        noises=tuple(noises),
        adaptations=_ordered(study, adaptations, records, "adaptation"),
        shots=tuple(shots),
    )


def _ordered(
    study: Study, declared: Iterable[str], records: pl.DataFrame, column: str
) -> tuple[str, ...]:
    """The values that a column holds: as the study declares them, then by name; of a study without
    grids as they come."""
    present = records[column].unique(maintain_order=True).to_list()
    first = [name for name in dict.fromkeys(declared) if name in present]
    rest = [name for name in present if name not in first]
    return (*first, *(sorted(rest) if study.grids else rest))
