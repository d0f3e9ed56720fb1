"""Models side by side, in and out of distribution: what Naganuma et al. (2023, arXiv 2307.08187)
show, for any study that compares backbones on tasks with shifts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from raystudy.outcomes import MODEL, outcomes
from raystudy.report.view import in_order
from raystudy.report.words import listing, percent, plural, shots_phrase, spaced

FEWEST_MODELS = 3
METRICS = ("accuracy", "ece", "ece_debiased")
OF_MODEL = ["family", "parameters", "data"]
"""What ``raystudy.annotate`` says of each."""


@dataclass(frozen=True)
class Evidence:
    """What a comparison of models looks at beside the records."""

    promises: pl.DataFrame
    """``raystudy.stages.promise``."""
    hits: pl.DataFrame
    classes: pl.DataFrame
    spreads: pl.DataFrame
    """``raystudy.stages.answers``, all three."""


@dataclass(frozen=True)
class Comparison:
    """What several backbones reach on the tasks of a study under one adaptation and setting."""

    adaptation: str
    shots: str
    seeds: pl.DataFrame
    """``raystudy.outcomes``, one row a task, model and seed."""

    @property
    def models(self) -> pl.DataFrame:
        """Means over seeds, one row a task and model, the study's order of tasks kept."""
        return self.seeds.group_by("task", *MODEL, *OF_MODEL, maintain_order=True).agg(
            _values(self.seeds).mean(), pl.len().alias("num_seeds")
        )

    @property
    def name(self) -> str:
        few = [] if self.shots == "full" else [self.shots]
        return "-".join([self.adaptation, *few])

    @property
    def title(self) -> str:
        return f"Models under {spaced(self.adaptation)} at {shots_phrase(self.shots)}"

    @property
    def tasks(self) -> list[str]:
        return self.seeds["task"].unique(maintain_order=True).to_list()

    @property
    def means(self) -> pl.DataFrame:
        """Means over tasks and seeds, one row a model, best out of distribution first: of those
        tried on every task, as only these have means that compare."""
        complete = self.models.filter(pl.len().over(MODEL) == len(self.tasks))
        return (
            complete.group_by(*MODEL, *OF_MODEL, maintain_order=True)
            .agg(_values(complete).mean())
            .sort("ood_accuracy", descending=True)
        )

    @property
    def kind(self) -> str:
        """What colours stand for: families, or where there is one, what models learnt from."""
        return "family" if self.seeds["family"].n_unique() > 1 else "source"


def comparisons(
    annotated: pl.DataFrame, adaptations: Iterable[str], tasks: Iterable[str]
) -> list[Comparison]:
    """One for each adaptation and number of shots under which enough models were tried, in the
    order of ``adaptations`` and ``tasks``."""
    there = set(annotated["metric"])
    table = outcomes(annotated, tuple(metric for metric in METRICS if metric in there))
    table = in_order(table, adaptation=dict.fromkeys(adaptations), task=dict.fromkeys(tasks))
    found = []
    for (adaptation, shots), seeds in table.group_by("adaptation", "shots", maintain_order=True):
        if seeds.select(MODEL).n_unique() >= FEWEST_MODELS:
            found.append(Comparison(str(adaptation), str(shots), seeds))
    return found


def sentences(found: Comparison) -> list[str]:
    """Which model, and how much the choice moves."""
    means = found.means
    if means.is_empty():
        return [f"No model was tried on all of {listing(found.tasks)} yet."]
    best, worst = means.row(0, named=True), means.row(-1, named=True)
    return [
        f"Of {plural(len(means), 'model', 0)} under {spaced(found.adaptation)}, "
        f"{model_name(best)} gets {percent(best['ood_accuracy'])} right out of distribution "
        f"({percent(best['id_accuracy'])} in it), and {model_name(worst)} "
        f"{percent(worst['ood_accuracy'])} ({percent(worst['id_accuracy'])}), over "
        f"{listing(found.tasks)}."
    ]


def model_name(row: Mapping[str, Any]) -> str:
    """Of a row with the axes ``MODEL``."""
    if row["method"] == "published":
        return f"{row['architecture']}.{row['source']}"
    noise = "" if row["noise"] == "clean" else f", {row['noise']}"
    if row["method"] == "none":
        return f"{row['architecture']} untrained"
    return f"{row['architecture']} {row['method']} {row['source']} {row['size']:,}{noise}"


def _values(outcomes: pl.DataFrame) -> pl.Expr:
    return pl.col([c for c in outcomes.columns if c.startswith(("id_", "ood_"))])
