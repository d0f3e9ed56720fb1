"""What a study of transfer shows: how much data of its own a pre-training is worth to each task."""

from __future__ import annotations

import math
from collections.abc import Mapping

import polars as pl

from raystudy.laws.status import FitError
from raystudy.laws.transfer import Point
from raystudy.laws.transfer_law import TransferLaw, transfer_law
from raystudy.laws.transferred import Reading
from raystudy.report import transfer_figures, transfer_tables
from raystudy.report.publish import Part
from raystudy.report.style import compact
from raystudy.report.transfer_tables import amount
from raystudy.report.view import MissingCellsError
from raystudy.report.words import listing, signed
from raystudy.spec import Study
from raystudy.transfer import Suite, gap_sentences, suites

Laws = dict[str, TransferLaw | FitError]


def transfer_parts(study: Study, records: pl.DataFrame) -> list[Part]:
    """One for each task and adaptation. ``records`` as ``raystudy.annotate`` returns them.

    Raises MissingCellsError where none was run both from scratch and after pre-training.
    """
    if "parameters" not in records.columns:
        raise MissingCellsError(
            "transfer needs the sizes of models, which only a study's grids say"
        )
    units = {task.name: task.unit for grid in study.grids for task in grid.tasks}
    found = suites(records, units)
    if not found:
        raise MissingCellsError(
            "nothing was run both from scratch and after pre-training yet; finish one of each"
        )
    several = len({suite.task for suite in found}) < len(found)
    return [_part(s, several, f"{s.task}-{s.adaptation}-" if len(found) > 1 else "") for s in found]


def _part(suite: Suite, several: bool, prefix: str) -> Part:
    title = suite.title + (f", {suite.adaptation}" if several else "")
    part = Part(prefix, title, [])
    try:
        laws = laws_of(suite)
    except FitError as refusal:
        part.missing.append(("Effective data transferred", str(refusal)))
        return part
    fitted = {arm: law for arm, law in laws.items() if isinstance(law, TransferLaw)}
    part.sentences = sentences(suite, laws)
    part.add(
        [
            (
                "figure",
                "Loss from scratch and fine-tuned",
                lambda: transfer_figures.losses(suite),
            ),
            (
                "figure",
                "Effective data transferred",
                lambda: transfer_figures.law(suite, fitted),
            ),
            ("table", "The law of transfer", lambda: transfer_tables.law_table(suite, laws)),
            (
                "table",
                "Effective data transferred, point by point",
                lambda: transfer_tables.point_table(suite),
            ),
            (
                "figure",
                "Multiplier of the fine-tuning data",
                lambda: transfer_figures.multiplier(suite, fitted),
            ),
            ("figure", "Loss against compute", lambda: transfer_figures.compute(suite)),
            ("table", "Curves from scratch", lambda: transfer_tables.curve_table(suite)),
        ]
    )
    return part


def laws_of(suite: Suite) -> Laws:
    """The law of each arm, or why it has none. Raises FitError where there is no curve."""
    found: Laws = {}
    for arm in suite.measured.arms:
        try:
            found[arm] = transfer_law(suite.measured, arm)
        except FitError as refusal:
            found[arm] = refusal
    return found


def sentences(suite: Suite, laws: Mapping[str, TransferLaw | FitError]) -> list[str]:
    """What was found, most important first."""
    return [*_worth(suite), *_exponents(laws), *_harm(suite), *gap_sentences(suite)]


def _worth(suite: Suite) -> list[str]:
    """Of each arm at the largest model and the middle amount of data."""
    largest, found = max(suite.measured.curves), []
    for arm in suite.measured.arms:
        own = [p for p in suite.measured.of(arm) if largest == p.N]
        if own:
            point = own[(len(own) - 1) // 2]
            found.append((arm, point))
    if not found:
        return []
    data = found[0][1].D_F
    worths = [f"{_bound(p)}{amount(p.worth.D_T)} on {arm}" for arm, p in found if data == p.D_F]
    return [
        f"To a model of {compact(largest)} parameters that learns from {data:,.0f} {suite.unit} of "
        f"{suite.task}, pre-training is worth so many more {suite.unit}: {listing(worths)}."
    ]


def _bound(point: Point) -> str:
    signs = {Reading.MEASURED: "", Reading.AT_LEAST: "at least ", Reading.AT_MOST: "at most "}
    return signs[point.worth.reading]


def _exponents(laws: Mapping[str, TransferLaw | FitError]) -> list[str]:
    told = []
    for arm, law in laws.items():
        if isinstance(law, TransferLaw):
            parts = [
                f"{symbol} {signed(value, 2)}"
                + (f" ({signed(low, 2)} to {signed(high, 2)})" if math.isfinite(high - low) else "")
                for symbol, (value, low, high) in (
                    ("α", law.parameter("alpha")),
                    ("β", law.parameter("beta")),
                )
            ]
            told.append(f"{arm}: {' and '.join(parts)}, fit {law.status.value}")
    return [f"Exponents of the law after {'; after '.join(told)}."] if told else []


def _harm(suite: Suite) -> list[str]:
    harmed = [p for p in suite.measured.points if p.worth.ossified]
    if not harmed:
        return []
    places = [f"{p.arm}, {compact(p.N)} parameters, {p.D_F:,.0f}" for p in harmed[:3]]
    more = f" and {len(harmed) - 3} more" if len(harmed) > 3 else ""
    return [f"Pre-training harms (ossification) at {'; '.join(places)}{more}."]
