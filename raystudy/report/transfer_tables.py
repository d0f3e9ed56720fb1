"""The tables of effective data transferred: every point, the law of each arm, and the curves from
scratch that all of it was read off."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import polars as pl

from raystudy.laws.status import FitError
from raystudy.laws.transfer import Point
from raystudy.laws.transfer_law import TransferLaw
from raystudy.laws.transferred import LOW_DATA, Reading
from raystudy.report.style import compact
from raystudy.report.tables import Table
from raystudy.report.words import signed
from raystudy.transfer import Suite

SIGNS = {Reading.MEASURED: "", Reading.AT_LEAST: "≥ ", Reading.AT_MOST: "≤ "}


def point_table(suite: Suite) -> Table:
    """One row a model size, arm and amount of fine-tuning data."""
    rows, numbers = [], []
    for point in sorted(suite.measured.points, key=lambda p: (p.N, p.arm, p.D_F)):
        worth = point.worth
        rows.append(
            (
                compact(point.N),
                point.arm,
                f"{point.D_F:,.0f}",
                f"{point.loss[0]:.3g}",
                SIGNS[worth.reading] + _compact(worth.D_E[0]),
                SIGNS[worth.reading] + amount(worth.D_T),
                f"{SIGNS[worth.reading]}×{worth.D_E[0] / point.D_F:.3g}",
                _agreement(point),
                _note(point),
            )
        )
        values = (*point.loss, *worth.D_E, *worth.D_T, point.interpolated, worth.D_N)
        ends = worth.reading.value, worth.low_data, worth.ossified, point.obstacle
        numbers.append((point.N, point.arm, point.D_F, *values, *ends))
    names = [f"{w}{e}" for w in ("loss", "D_E", "D_T") for e in ("", "_low", "_high")]
    columns = ("N", "arm", "D_F", *names, "D_E_interpolated", "D_N")
    types = dict.fromkeys(columns, pl.Float64) | {"arm": pl.String, "reading": pl.String}
    types |= {"low_data": pl.Boolean, "ossified": pl.Boolean, "left_out_of_law": pl.String}
    return Table(
        "transfer-data",
        "Effective data transferred, point by point",
        f"D_E is where the curve from scratch of the same model has the fine-tuned loss, and "
        f"D_T = D_E − D_F, in {suite.unit}; 95 % intervals are Student's over the whole study made "
        "again without each seed. ≥ and ≤: the runs from scratch do not reach so far. Straight "
        "lines: D_E as lines between the means on logarithmic scales have it, over D_E: far from "
        "×1, the form of the curve decides. The law is for low data: D_F at most "
        f"{LOW_DATA:.0%} of D(N), which brings the model to 99 % of its best.",
        (
            *("N", "pre-training", "D_F", "loss", "D_E", "D_T", "multiplier"),
            *("straight lines", "in the law"),
        ),
        rows,
        pl.DataFrame(numbers, types, orient="row"),
    )


def law_table(suite: Suite, laws: Mapping[str, TransferLaw | FitError]) -> Table:
    """k, α and β of each arm, with what limits them."""
    rows, numbers, said = [], [], []
    for arm, law in laws.items():
        if isinstance(law, FitError):
            rows.append((arm, *["—"] * 4, "not fitted"))
            said.append(f"{arm}: {str(law).removeprefix(f'{arm}: ')}.")
            continue
        k, alpha, beta = (law.parameter(name) for name in ("k", "alpha", "beta"))
        data, size = law.centre
        value, low, high = (float(v[0]) for v in law.predict(np.array([data]), size))
        centre = value, low, high
        said.append(
            f"{arm}: D_T {amount(centre)} at D_F {compact(data)} and N {compact(size)}, in the "
            "middle of its points."
        )
        lines = law.lines[0]
        by_lines = "—" if np.isnan(lines).any() else f"{signed(lines[1], 2)}, {signed(lines[2], 2)}"
        rows.append(
            (
                arm,
                _coefficient(*k),
                _exponent(*alpha),
                _exponent(*beta),
                by_lines,
                law.status.value,
            )
        )
        reasons = (*law.fit.reasons, *law.limits)
        if reasons:
            said.append(f"{arm}: {'; '.join(reasons)}.")
        told = "; ".join(reasons)
        every = zip(("k", "alpha", "beta", "D_T"), (k, alpha, beta, centre), strict=True)
        for (name, ends), line in zip(every, (*lines.tolist(), None), strict=True):
            numbers.append(
                (arm, name, *ends, line, data, size, len(law.used), law.status.value, told)
            )
    columns = ("arm", "parameter", "value", "low", "high", "by_lines", "centre_D_F", "centre_N")
    types = dict.fromkeys(columns, pl.Float64)
    types |= {"arm": pl.String, "parameter": pl.String}
    types |= {"num_points": pl.Int64, "status": pl.String, "limits": pl.String}
    return Table(
        "transfer-laws",
        "The law of transfer",
        f"D_T = k·D_F^α·N^β, in {suite.unit}, by least squares on logarithms. α: how near "
        "pre-training lies to the task (smaller is nearer); β: how much more larger models make of "
        "it. Intervals: curves, readings and law made again without each seed, and Student's "
        "quantile for so few. By lines: α and β of D_E read between straight lines, without a form "
        "for the curve; the interval of a claim spans that of both. k is D_T of one of each, far "
        "from all that was measured. " + " ".join(said),
        ("pre-training", "k", "α", "β", "by lines", "status"),
        rows,
        pl.DataFrame(numbers, types, orient="row"),
    )


def curve_table(suite: Suite) -> Table:
    """The from-scratch curve of each model size, and how well it is known."""
    rows, numbers = [], []
    reasons: dict[str, list[str]] = {}
    for n, curve in sorted(suite.measured.curves.items()):
        found = curve.checked
        values = dict(zip(found.law.parameters, found.parameters.tolist(), strict=True))
        told = ", ".join(f"{name} {value:.3g}" for name, value in values.items())
        limit = "none in sight" if curve.D_N is None else compact(curve.D_N)
        beyond = curve.D_N is not None and curve.sizes[-1] < curve.D_N
        for reason in found.reasons:
            reasons.setdefault(reason, []).append(compact(n))
        rows.append(
            (
                compact(n),
                f"{len(curve.sizes)}, {compact(curve.sizes[0])} to {compact(curve.sizes[-1])}",
                told,
                f"{100 * curve.misfit:.1f} %",
                limit + (", extrapolated" if beyond else ""),
                found.status.value,
            )
        )
        status = found.status.value, "; ".join(found.reasons)
        numbers += [(n, found.law.name, *own, curve.D_N, *status) for own in values.items()]
    names = ("N", "form", "parameter", "value", "D_N", "status", "reasons")
    types = (pl.Float64, pl.String, pl.String, pl.Float64, pl.Float64, pl.String, pl.String)
    form = next(iter(suite.measured.curves.values())).fit.law.name
    return Table(
        "transfer-curves",
        "Curves from scratch",
        f"Test loss = {form} of the data learnt from, by least squares on logarithms; one form for "
        "all model sizes, the simplest from which means lie no further than seeds scatter. Off: "
        "root mean square of means over curve. D(N): the data that brings a model to 99 % of its "
        "best." + "".join(f" N {', '.join(own)}: {reason}." for reason, own in reasons.items()),
        ("N", "amounts of data", "parameters of the curve", "off", "D(N)", "status"),
        rows,
        pl.DataFrame(numbers, dict(zip(names, types, strict=True)), orient="row"),
    )


def amount(value: tuple[float, float, float]) -> str:
    """An amount of data with its interval, where it has one: "1.2k (800 to 2k)"."""
    centre, low, high = value
    if not math.isfinite(low) and not math.isfinite(high):
        return _compact(centre)
    if not math.isfinite(high):
        return _compact(centre) + (f" (from {_compact(low)})" if low != centre else "")
    return f"{_compact(centre)} ({_compact(low)} to {_compact(high)})"


def _agreement(point: Point) -> str:
    known = point.worth.reading is Reading.MEASURED and math.isfinite(point.interpolated)
    return f"×{point.interpolated / point.worth.D_E[0]:.2f}" if known else "—"


def _note(point: Point) -> str:
    harm = "; pre-training harms (ossified)" if point.worth.ossified else ""
    return (f"no: {point.obstacle}" if point.obstacle else "yes") + harm


def _compact(value: float) -> str:
    return f"−{compact(-value)}" if value < 0 else compact(value)


def _exponent(value: float, low: float, high: float) -> str:
    if not math.isfinite(high - low):
        return signed(value, 2)
    return f"{signed(value, 2)} ({signed(low, 2)} to {signed(high, 2)})"


def _coefficient(value: float, low: float, high: float) -> str:
    def short(number: float) -> str:
        return compact(number) if number >= 1 else f"{number:.2g}"

    if not math.isfinite(high) or not low > 0:
        return short(value)
    return f"{short(value)} ({short(low)} to {short(high)})"
