"""The tables of models side by side: what each reaches, under every adaptation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from raystudy.outcomes import MODEL
from raystudy.report.models import Comparison, model_name
from raystudy.report.style import compact
from raystudy.report.tables import Table
from raystudy.report.view import MissingCellsError
from raystudy.report.words import plural, shots_phrase, signed, spaced

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
