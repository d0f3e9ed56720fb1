"""How to choose a model: on the line of all, by scores before adaptation, and against each other on
the same examples."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import polars as pl

from raystudy.multiplicity import holm
from raystudy.outcomes import MODEL
from raystudy.paired import compare
from raystudy.report.models import Comparison, model_name
from raystudy.report.tables import Table
from raystudy.report.view import MissingCellsError
from raystudy.report.words import signed, spaced
from raystudy.robustness import Line, accuracy_line, agreement_line
from raystudy.transferability.rank import rank_correlation


def line_table(found: Comparison, classes: pl.DataFrame) -> Table:
    """Accuracy and agreement on the line, one row a task. ``classes`` is of
    ``raystudy.stages.answers``."""
    rows, numbers = [], []
    for task in found.tasks:
        own = found.models.filter(task=task).join(
            classes.filter(task=task, adaptation=found.adaptation, shots=found.shots), on=MODEL
        )
        x, y = (own[column].to_numpy() for column in ("id_accuracy", "ood_accuracy"))
        try:
            accuracy = accuracy_line(x, y)
            inside, outside = (np.array(own[role].to_list()) for role in ("id", "ood"))
            agreement = agreement_line(inside, outside)
        except ValueError:  # too few models, or all alike
            continue
        off = float(np.abs(agreement.predict(x) - y).mean())
        numbers.append(
            {"task": task, "models": len(own), "off": off}
            | {f"accuracy_{name}": getattr(accuracy, name) for name in ("slope", "r2")}
            | {f"agreement_{name}": getattr(agreement, name) for name in ("slope", "r2")}
        )
        rows.append((task, *map(_line, (accuracy, agreement)), f"{100 * off:.1f}"))
    if not rows:
        raise MissingCellsError("needs three models")
    return Table(
        "lines",
        "Accuracy and agreement on the line",
        "Least squares on probit axes over models: of accuracy out of distribution on accuracy in "
        "it (Miller et al. 2021), and of how often two models agree out of distribution on how "
        "often in it, which takes no label (Baek et al. 2022); 95 % intervals from resampling "
        "models. Off: how many points the line of agreement is wrong by, on average, as an "
        "estimate of accuracy out of distribution.",
        ("task", "slope of accuracy", "slope of agreement", "off"),
        rows,
        pl.DataFrame(numbers),
    )


def promise_table(found: Comparison, promises: pl.DataFrame) -> Table:
    """Whether scores that need no adaptation rank the models as adaptation does."""
    outcome = found.seeds.select("task", *MODEL, "backbone", "ood_accuracy")
    numbers = []
    for name in promises["score"].unique(maintain_order=True):
        for task in found.tasks:
            pairs = promises.filter(score=name, task=task).join(outcome, on=["task", "backbone"])
            pairs = pairs.group_by(MODEL, maintain_order=True).agg(
                pl.col("value", "ood_accuracy").mean()
            )
            with suppress(ValueError):  # too few models, or all alike
                tau, low, high = rank_correlation(
                    pairs["value"], pairs["ood_accuracy"], kind="plain"
                )
                numbers.append({"score": name, "task": task, "tau": tau, "low": low, "high": high})
    if not numbers:
        raise MissingCellsError("needs features of three models or more")
    ranked = {n["task"] for n in numbers}
    tasks = [task for task in found.tasks if task in ranked]
    rows = []
    for name in dict.fromkeys(n["score"] for n in numbers):
        of_task = {n["task"]: n for n in numbers if n["score"] == name}
        cells = [_tau(of_task[task]) if task in of_task else "—" for task in tasks]
        mean = float(np.mean([n["tau"] for n in of_task.values()]))
        rows.append((name, *cells, signed(mean, 2)))
    return Table(
        "promises",
        "Which model to try: scores before adaptation",
        "Kendall's τ over models (means over seeds) between a score of a model's features on the "
        "training examples and its accuracy out of distribution under "
        f"{spaced(found.adaptation)}, with 95 % intervals from resampling models: 1 is the same "
        "order, 0 no relation.",
        ("score", *tasks, "mean"),
        rows,
        pl.DataFrame(numbers),
    )


def paired_table(found: Comparison, hits: pl.DataFrame) -> Table:
    """The model that is best in distribution against each of the others, on the same examples."""
    own = hits.filter(adaptation=found.adaptation, shots=found.shots)
    of_model = {
        model: np.concatenate([np.asarray(h) for h in part.sort("task")["hits"].to_list()])
        for model, part in own.group_by(MODEL, maintain_order=True)
        if part["task"].n_unique() == len(found.tasks)
    }
    ranked = [
        (model_name(row), of_model[model])
        for row in found.means.sort("id_accuracy", descending=True).iter_rows(named=True)
        if (model := tuple(row[axis] for axis in MODEL)) in of_model
    ]
    if len(ranked) < 2:
        raise MissingCellsError("needs two models on all tasks")
    (best, best_hits), *others = ranked
    pairs = [compare(best_hits, other_hits) for _, other_hits in others]
    adjusted = holm([pair.p_value for pair in pairs])
    numbers = [
        {
            "model": name,
            "difference": 100 * pair.difference,
            "low": 100 * pair.low,
            "high": 100 * pair.high,
            "p": float(p),
            "minimum_detectable": 100 * pair.minimum_detectable,
        }
        for (name, _), pair, p in zip(others, pairs, adjusted, strict=True)
    ]
    numbers.sort(key=lambda n: n["difference"])
    rows = [
        (
            n["model"],
            f"{signed(n['difference'], plus=True)} ({signed(n['low'])} … {signed(n['high'])})",
            "< 0.001" if n["p"] < 0.001 else f"{n['p']:.3f}",
            f"{n['minimum_detectable']:.1f}",
        )
        for n in numbers
    ]
    return Table(
        "pairs",
        "The model to choose, against each of the others",
        f"{best} does best in distribution. What it is ahead by out of distribution, in points, on "
        f"the same {pairs[0].num_examples:,} examples (means over seeds), with paired 95 % "
        "intervals over examples; p adjusted for all these comparisons (Holm); and the difference "
        "that examples as many would show with 80 % power.",
        ("model", "difference", "p", "detectable"),
        rows,
        pl.DataFrame(numbers),
    )


def _line(line: Line) -> str:
    low, high = line.slope_interval
    limits = f"({signed(low, 2)} … {signed(high, 2)})"
    return f"{signed(line.slope, 2)} {limits}, R² {line.r2:.2f}"


def _tau(n: dict[str, Any]) -> str:
    return f"{signed(n['tau'], 2)} ({signed(n['low'], 2)} … {signed(n['high'], 2)})"
