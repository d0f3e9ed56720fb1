"""The tables of a report: cells as a reader wants them, and the numbers behind them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from raystudy.intervals import COVERAGE, percentile_coverage
from raystudy.kinds import Law
from raystudy.laws.fit import FitError, extrapolation_error
from raystudy.laws.multiplier import Multiplier, data_multiplier
from raystudy.report.curves import Arm
from raystudy.report.figures import methods_numbers, sources_by_shots
from raystudy.report.view import BASELINE, MissingCellsError, View, in_order, seed_means
from raystudy.report.words import (
    baseline,
    factor,
    listing,
    percent,
    plus_minus,
    pretrained,
    shots_phrase,
    signed,
    spaced,
)


@dataclass(frozen=True)
class Table:
    """``rows`` hold one text per column of ``header``; ``numbers`` is what the CSV holds."""

    name: str
    title: str
    caption: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    numbers: pl.DataFrame


@dataclass(frozen=True)
class Worth:
    """``better``'s data is worth ``multiplier`` times ``worse``'s; else ``refusal`` tells."""

    better: Arm
    worse: Arm
    multiplier: Multiplier | None
    refusal: str = ""


def source_table(view: View) -> Table:
    """Sources × shots, above the random features they must beat."""
    numbers = sources_by_shots(view)
    untrained = seed_means(
        view.test(method=BASELINE, adaptation=view.probe),
        "source",
        "adaptation",
        "shots",
        "num_train",
    )
    if numbers.is_empty():
        raise MissingCellsError(f"needs a {spaced(view.probe)} on {view.method} backbones")
    numbers = pl.concat([numbers, untrained.select(numbers.columns)])
    rows = [
        (name, *_across(numbers.filter(source=source), view.shots))
        for source, name in [(s, s) for s in view.sources] + [(BASELINE, baseline(view.probe))]
        if source in set(numbers["source"])
    ]
    return Table(
        "sources",
        "Accuracy by source and shots",
        f"Test accuracy in %, {spaced(view.probe)} on {view.method} backbones pre-trained "
        f"{pretrained(view.size)}.",
        ("source", *map(shots_phrase, view.shots)),
        rows,
        numbers,
    )


def adaptation_table(view: View) -> Table:
    """Method and adaptation × shots, at the size and source that most methods share."""
    numbers, source, size = methods_numbers(view)
    shots = [s for s in ("0", *view.shots) if s in set(numbers["shots"])]
    rows = [
        ("untrained" if method == BASELINE else method, adaptation, *_across(arm, shots))
        for (method, adaptation), arm in in_order(
            numbers, method=(*view.methods, BASELINE), adaptation=view.adaptations
        ).group_by("method", "adaptation", maintain_order=True)
    ]
    return Table(
        "adaptations",
        "Accuracy by method, adaptation and shots",
        f"Test accuracy in %, backbones pre-trained on {size:,} clean examples of {source}.",
        ("method", "adaptation", *map(shots_phrase, shots)),
        rows,
        numbers,
    )


def worths(law: Law, arms: Sequence[Arm], best: Arm | None) -> list[Worth]:
    """What the data of ``best`` is worth in that of each other arm."""
    found = []
    for arm in arms:
        if best is None or arm is best:
            continue
        try:
            found.append(Worth(best, arm, data_multiplier(law, best.triple, arm.triple)))
        except FitError as refusal:
            found.append(Worth(best, arm, None, str(refusal)))
    return found


def multiplier_table(found: Sequence[Worth]) -> Table:
    """Data multipliers, one row a pair."""
    if not found:
        raise MissingCellsError("needs two sources, or clean and noisy labels, at several sizes")
    if all(w.multiplier is None for w in found):
        reasons = dict.fromkeys(w.refusal for w in found)
        raise MissingCellsError(f"no curve can be read ({'; '.join(reasons)})")
    rows = [
        (
            w.better.name,
            w.worse.name,
            factor(w.multiplier.text) if w.multiplier else "not fitted",
            w.multiplier.status.value if w.multiplier else w.refusal,
        )
        for w in found
    ]
    numbers = pl.DataFrame(
        [
            (w.better.name, w.worse.name, m.value, m.low, m.high, m.status.value, "")
            if (m := w.multiplier)
            else (w.better.name, w.worse.name, None, None, None, "not fitted", w.refusal)
            for w in found
        ],
        schema={
            "better": pl.String,
            "worse": pl.String,
            "multiplier": pl.Float64,
            "low": pl.Float64,
            "high": pl.Float64,
            "status": pl.String,
            "refusal": pl.String,
        },
        orient="row",
    )
    return Table(
        "multipliers",
        "Data multipliers",
        "How many examples of the worse arm one example of the better arm replaces, read where "
        "the fitted law of the better arm meets the error of the worse arm at its largest size. "
        "Intervals resample seeds, stretched for how few these are.",
        ("data of", "worth, in data of", "factor", "status"),
        rows,
        numbers,
    )


def law_table(law: Law, sources: Sequence[Arm], noises: Sequence[Arm]) -> Table:
    """Parameters with intervals, fit status, and the miss at the largest size when held out."""
    rows, numbers = [], []
    reasons: dict[str, list[str]] = {}
    known = [arm.runs for arm in sources]
    fresh = [arm for arm in noises if not any(arm.runs.equals(runs) for runs in known)]
    for group, members in {"source": sources, "noise": fresh}.items():
        for arm in members:
            if arm.fit is None:
                rows.append((group, arm.name, *["—"] * len(law.parameters), "—", "no fit"))
                reasons.setdefault(arm.refusal, []).append(arm.name)
                continue
            cells = [arm.fit.parameter(name) for name in law.parameters]
            try:
                miss = extrapolation_error(law, *arm.triple)
            except FitError:
                miss = None
            status = arm.fit.status.value
            for reason in arm.fit.reasons:
                reasons.setdefault(reason, []).append(arm.name)
            rows.append(
                (
                    group,
                    arm.name,
                    *(_parameter(*cell) for cell in cells),
                    "—" if miss is None else signed(miss, plus=True),
                    status,
                )
            )
            for name, (value, low, high) in zip(law.parameters, cells, strict=True):
                numbers.append((group, arm.name, name, value, low, high, status, miss))
    if not numbers:
        raise MissingCellsError("; ".join(reasons) or "needs runs at three sizes or more")
    columns = ("group", "arm", "parameter", "value", "low", "high", "status", "held_out_points")
    types = [pl.String] * 3 + [pl.Float64] * 3 + [pl.String, pl.Float64]
    return Table(
        "laws",
        "Fitted laws",
        f"error = {law.name}, with 95 % intervals from resampling seeds. Held out: observed minus "
        "predicted error at the largest size, in points, from a fit without it."
        + "".join(f" {listing(names)}: {reason}." for reason, names in reasons.items()),
        ("by", "arm", *law.parameters, "held out", "status"),
        rows,
        pl.DataFrame(numbers, schema=dict(zip(columns, types, strict=True)), orient="row"),
    )


def noise_table(view: View) -> Table:
    """Nominal and realised noise rates."""
    backbones = view.test().filter(pl.col("noise") != "clean").unique("backbone")
    if backbones.is_empty():
        raise MissingCellsError("needs a pre-training on corrupted labels or captions")
    numbers = (
        backbones.group_by("source", "noise")
        .agg(
            pl.col("noise_rate").first().alias("nominal"),
            pl.col("realised_noise").mean().alias("realised"),
            pl.col("realised_noise").min().alias("lowest"),
            pl.col("realised_noise").max().alias("highest"),
            pl.len().alias("num_backbones"),
        )
        .sort("source", "nominal")
    )
    rows = [
        (
            r["source"],
            r["noise"],
            f"{100 * r['nominal']:.1f}",
            "—" if r["realised"] is None else f"{100 * r['realised']:.2f}",
            "—"
            if r["realised"] is None
            else f"{100 * r['lowest']:.2f} to {100 * r['highest']:.2f}",
            str(r["num_backbones"]),
        )
        for r in numbers.iter_rows(named=True)
    ]
    return Table(
        "noise-rates",
        "Realised noise",
        "The share of pre-training labels that were in fact changed, in %.",
        ("source", "noise", "nominal", "realised", "range", "pre-trainings"),
        rows,
        numbers,
    )


def coverage(arm: Arm) -> str:
    """What intervals that resample the seeds of ``arm`` can cover, where that is under 95 %."""
    seeds = arm.runs["seed"].n_unique()
    if seeds == 1:
        return "One seed gives no interval."
    share = percentile_coverage(seeds)
    if share >= COVERAGE:
        return ""
    return f"Intervals resample {seeds} seeds, which covers {percent(share, 0)} at best, not 95 %."


def _across(arm: pl.DataFrame, shots: Sequence[str]) -> list[str]:
    cells = {r["shots"]: plus_minus(r) for r in arm.iter_rows(named=True)}
    return [cells.get(s, "—") for s in shots]


def _parameter(value: float, low: float, high: float) -> str:
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{value:.2g}"
    return f"{value:.2g} ({low:.2g} to {high:.2g})"
