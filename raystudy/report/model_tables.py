"""The tables of models side by side: which one to choose, by how much, and how to tell early."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import polars as pl

from raystudy.multiplicity import holm
from raystudy.outcomes import MODEL
from raystudy.paired import compare
from raystudy.report.models import Comparison, model_name
from raystudy.report.style import compact
from raystudy.report.tables import Table
from raystudy.report.view import MissingCellsError
from raystudy.report.words import plural, shots_phrase, signed, spaced
from raystudy.robustness import Line, accuracy_line, agreement_line
from raystudy.transferability.rank import rank_correlation

SHOWN = {
    "id_accuracy": "ID accuracy",
    "ood_accuracy": "OOD accuracy",
    "id_ece_debiased": "ID ECE",
    "ood_ece_debiased": "OOD ECE",
}
"""Calibration errors are debiased: the two splits have not as many examples."""
CALIBRATION = " ECE is debiased: 0, or a little below it, is as calibrated as can be seen."
PROTOCOLS = {
    "ood_accuracy": "whole",
    "ood_in_accuracy": "80 %",
    "ood_mean_accuracy": "mean of 80 % and 20 %",
}


def model_table(found: Comparison, spreads: pl.DataFrame) -> Table:
    """Every model: means over tasks and seeds with their intervals, best out of distribution
    first. ``spreads`` is of ``raystudy.stages.answers``."""
    numbers, shown = _with_limits(found, spreads, SHOWN)
    family = numbers["family"].n_unique() > 1
    rows = [
        (
            model_name(row),
            *([row["family"]] if family else []),
            compact(row["parameters"]),
            *(_with_interval(row, column) for column in shown),
        )
        for row in numbers.iter_rows(named=True)
    ]
    return Table(
        "models",
        "Models, best out of distribution first",
        f"{spaced(found.adaptation).capitalize()} at {shots_phrase(found.shots)}; means over "
        f"{plural(len(found.tasks), 'task', 0)} and "
        f"{plural(found.seeds['seed'].n_unique(), 'seed', 0)}, in %, with 95 % intervals from "
        "resampling examples and seeds; of models tried on every task."
        + (CALIBRATION if "ood_ece_debiased" in shown else ""),
        ("model", *["family"] * family, "parameters", *(SHOWN[c] for c in shown)),
        rows,
        numbers,
    )


def protocol_table(found: Comparison, spreads: pl.DataFrame) -> Table:
    """The domain that is held out, counted in the three ways that papers do."""
    numbers, shown = _with_limits(found, spreads, PROTOCOLS)
    if len(shown) < len(PROTOCOLS):
        raise MissingCellsError("needs tasks of several domains")
    rows = [
        (model_name(row), *(_with_interval(row, column) for column in shown))
        for row in numbers.iter_rows(named=True)
    ]
    return Table(
        "protocols",
        "Three ways to count a domain that is held out",
        "Accuracy in %: of the whole domain, which all other tables show; of the 80 % of it that "
        "DomainBed reports; and of those and the other 20 %, each counted alike, as in the code of "
        "Naganuma et al. 2023. Means and intervals as above.",
        ("model", *(PROTOCOLS[column] for column in shown)),
        rows,
        numbers.select(*MODEL, *(c for c in numbers.columns if c.startswith(tuple(shown)))),
    )


def best_table(every: Sequence[Comparison]) -> Table:
    """Table 1 of the paper: what choosing another adaptation, or another model, is worth. The
    reference is the first adaptation of the model in the middle by size; only others at the same
    shots count."""
    every = [found for found in every if found.shots == every[0].shots]
    if len(every) < 2:
        raise MissingCellsError("needs two adaptations")
    of = pl.concat(
        [c.models.with_columns(adaptation=pl.lit(c.adaptation)) for c in every], how="diagonal"
    )
    middle = every[0].models.select(*MODEL, "parameters").unique().sort("parameters", *MODEL)
    reference = middle.select(MODEL).row(len(middle) // 2)
    is_reference = pl.all_horizontal(pl.col(n) == v for n, v in zip(MODEL, reference, strict=True))
    first = every[0].adaptation
    numbers = []
    for task in every[0].tasks:
        own = of.filter(task=task)
        plain = own.filter(is_reference, adaptation=first)
        if plain.is_empty():
            continue
        # Chosen in distribution, as one would have to; the best out of it is only known afterwards.
        by_method = own.filter(is_reference).sort("id_accuracy").row(-1, named=True)
        by_model = own.filter(adaptation=first).sort("id_accuracy").row(-1, named=True)
        numbers.append(
            {
                "task": task,
                "reference": plain["ood_accuracy"][0],
                "best_adaptation": by_method["ood_accuracy"],
                "adaptation": by_method["adaptation"],
                "best_model": by_model["ood_accuracy"],
                "model": model_name(by_model),
            }
        )
    if not numbers:
        raise MissingCellsError(f"needs {first} of the reference model")
    rows = [
        (
            n["task"],
            f"{100 * n['reference']:.1f}",
            f"{100 * n['best_adaptation']:.1f} ({n['adaptation']})",
            f"{100 * n['best_model']:.1f} ({n['model']})",
        )
        for n in numbers
    ]
    name = model_name(dict(zip(MODEL, reference, strict=True)))
    return Table(
        "choices",
        "What another adaptation and another model are worth",
        f"Accuracy out of distribution in %: {spaced(first)} of {name}; the adaptation of that "
        "model, and the model under that adaptation, that do best in distribution.",
        ("task", "reference", "chosen adaptation", "chosen model"),
        rows,
        pl.DataFrame(numbers),
    )


def ways_table(every: Sequence[Comparison]) -> Table:
    """Every model under every adaptation, as they were selected: last steps beside best ones."""
    every = [found for found in every if found.shots == every[0].shots]
    if len(every) < 2:
        raise MissingCellsError("needs two adaptations")
    ways = [found.adaptation for found in every]
    of = [
        found.means.select(*MODEL, pl.lit(found.adaptation).alias("adaptation"), "ood_accuracy")
        for found in every
    ]
    numbers = pl.concat(of).pivot("adaptation", index=MODEL, values="ood_accuracy").drop_nulls()
    if numbers.is_empty():
        raise MissingCellsError("needs a model under two adaptations on every task")
    numbers = numbers.sort(pl.mean_horizontal(ways), descending=True)
    rows = [
        (model_name(row), *(f"{100 * row[way]:.1f}" for way in ways))
        for row in numbers.iter_rows(named=True)
    ]
    return Table(
        "ways",
        "Every model under every adaptation",
        f"Accuracy out of distribution in % at {shots_phrase(every[0].shots)}, means over tasks "
        "and seeds, of models adapted in all of these ways on every task.",
        ("model", *map(spaced, ways)),
        rows,
        numbers,
    )


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


def _with_limits(
    found: Comparison, spreads: pl.DataFrame, columns: Iterable[str]
) -> tuple[pl.DataFrame, list[str]]:
    """The means of models with ``_low`` and ``_high`` of those of ``columns`` that there are, and
    the names of these."""
    numbers = found.means
    if numbers.is_empty():
        raise MissingCellsError("needs a model on every task")
    own = spreads.filter(adaptation=found.adaptation, shots=found.shots, num_tasks=len(found.tasks))
    shown = [column for column in columns if column in numbers.columns]
    for column in shown:
        limits = own.filter(column=column).select(
            *MODEL, pl.col("low").alias(f"{column}_low"), pl.col("high").alias(f"{column}_high")
        )
        numbers = numbers.join(limits, on=MODEL, how="left", maintain_order="left")
    return numbers, shown


def _with_interval(row: dict[str, Any], column: str) -> str:
    value, low, high = (row[column + end] for end in ("", "_low", "_high"))
    text = signed(100 * value)
    if low is None:
        return text
    return f"{text} ({signed(100 * low)} … {signed(100 * high)})"


def _line(line: Line) -> str:
    low, high = line.slope_interval
    limits = f"({signed(low, 2)} … {signed(high, 2)})"
    return f"{signed(line.slope, 2)} {limits}, R² {line.r2:.2f}"


def _tau(n: dict[str, Any]) -> str:
    return f"{signed(n['tau'], 2)} ({signed(n['low'], 2)} … {signed(n['high'], 2)})"
