"""What wrong labels cost, in size: one law for all sizes and rates of a kind of noise."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import polars as pl

from raystudy.laws.derived import worth_of_cleaning
from raystudy.laws.fit import Fit, FitError, fit
from raystudy.laws.noisy_size import NoisySize
from raystudy.report.curves import Arm
from raystudy.report.tables import Table, Worth
from raystudy.report.view import MissingCellsError
from raystudy.report.words import signed

FEWEST_RATES = 2
"""Beside the clean one: of two rates the law has nothing left to be tested on."""


def exchange_table(arms: Sequence[Arm], worths: Sequence[Worth]) -> Table:
    """How many times its size a set is worth once cleaned, by kind and rate of noise: by one law,
    and as ``worths`` of clean data have it at the largest size. ``arms`` are of one source, the
    clean one first (``raystudy.report.curves.noise_arms``)."""
    direct = {w.worse.name: w.multiplier.text if w.multiplier else "—" for w in worths}
    kinds: defaultdict[str, list[Arm]] = defaultdict(list)
    for arm in arms[1:]:
        kinds[arm.name.rpartition("-")[0]].append(arm)
    rows, numbers, said = [], [], []
    for kind, members in kinds.items():
        if len(members) < FEWEST_RATES:
            continue
        runs = pl.concat([arm.runs for arm in (arms[0], *members)])
        try:
            found = fit(runs, NoisySize(), ["size", "noise_rate"], "error", seed="seed")
        except FitError as refusal:
            said.append(f"{kind} noise is not fitted: {refusal}.")
            continue
        said.append(_of_fit(kind, found))
        for arm in members:
            rate = float(arm.runs["noise_rate"][0])
            worth, low, high = worth_of_cleaning(found, rate)
            by_law = f"×{worth:.2g}{_within(low, high)}"
            rows.append((kind, f"{rate:.0%}", by_law, direct.get(arm.name, "—")))
            numbers.append((kind, rate, worth, low, high, found.status.value))
    if not rows:
        raise MissingCellsError("needs two rates of one noise and clean labels, at several sizes")
    types = (pl.String, *[pl.Float64] * 4, pl.String)
    names = ("noise", "rate", "worth", "low", "high", "status")
    return Table(
        "exchange",
        "What wrong labels cost, in size",
        "How many times its size a set is worth once its wrong labels are put right, of one law "
        f"for all sizes and rates: error = {NoisySize().name}, with 95 % intervals from resampling "
        "seeds; and as measured at the largest size, each rate alone. Where the two differ, noise "
        "does more than move the curve, and the law is no answer. q = 1: a wrong label is as good "
        "as none; above it, it does harm. " + " ".join(said),
        ("noise", "wrong labels", "cleaning is worth, by the law", "measured"),
        rows,
        pl.DataFrame(numbers, dict(zip(names, types, strict=True)), orient="row"),
    )


def _of_fit(kind: str, found: Fit) -> str:
    q, low, high = found.parameter("q")
    reasons = f" ({'; '.join(found.reasons)})" if found.reasons else ""
    return (
        f"{kind.capitalize()}: q {signed(q, 2)}{_within(low, high)}, fit "
        f"{found.status.value}{reasons}."
    )


def _within(low: float, high: float) -> str:
    """One seed has no interval."""
    return f" ({low:.2g} … {high:.2g})" if math.isfinite(high - low) else ""
