"""Claims as the rows of the table that leads a report: verdict, effect, and what the study could
have seen."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import polars as pl

from raystudy.intervals import COVERAGE, POWER, detectable
from raystudy.kinds import Claim, Verdict
from raystudy.report.words import signed

COLUMNS = {
    "statement": pl.String,
    "status": pl.String,
    "effect": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "unit": pl.String,
    "detail": pl.String,
    "freedom": pl.Float64,
    "detectable": pl.Float64,
}
NOTE = (
    f"Power is the smallest effect (distance from where the verdict turns) that this study had a "
    f"chance of {POWER:.0%} to tell from none at 5 %, two-sided, by the standard error that the "
    "interval implies: of anything smaller, “undecided” says that the study was too small and not "
    "that there is no effect."
)
RATIO = "times"
"""How the unit of an effect begins that is a factor."""


def judged(claim: Claim, records: pl.DataFrame) -> dict[str, Any]:
    """One row: ``COLUMNS``, and for the page ``power`` in words and whether the study was
    ``too_small`` to decide. A claim whose cells are missing is not judged, and says so."""
    row: dict[str, Any] = {"statement": claim.statement}
    try:
        verdict = claim.judge(records)
    except ValueError as missing:
        nothing = {"detectable": None, "power": "—", "too_small": False}
        return row | {"status": "not judged", "detail": str(missing)} | nothing
    # A claim may know its own degrees of freedom.
    seeds = records["seed"].n_unique() if "seed" in records.columns else 0
    freedom = verdict.freedom if verdict.freedom is not None else seeds - 1 if seeds > 1 else None
    verdict = replace(verdict, freedom=freedom)
    least = smallest_effect(verdict, claim.coverage)
    return (
        row
        | asdict(verdict)
        | {
            "detectable": least,
            "power": _text(verdict, least),
            "too_small": verdict.status == "undecided" and least is not None,
        }
    )


def smallest_effect(verdict: Verdict, coverage: float = COVERAGE) -> float | None:
    """What the study could have detected, in the verdict's unit: a difference, or a ratio above 1
    where the unit is "times …". None where the interval is open."""
    if not verdict.unit.startswith(RATIO):
        return detectable(verdict.low, verdict.high, verdict.freedom, coverage)
    if not verdict.low > 0:
        return None
    low, high = math.log(verdict.low), math.log(verdict.high)
    logs = detectable(low, high, verdict.freedom, coverage)
    return None if logs is None else math.exp(logs)


def _text(verdict: Verdict, least: float | None) -> str:
    if least is None:
        return "no effect, however large"
    return f"{signed(least, digits=1 if least >= 1 else 3)} {verdict.unit}"
