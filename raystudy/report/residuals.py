"""What a law leaves unexplained, along each input: scatter if it is right, a bow if it is not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from raystudy.laws.diagnostics import MIN_RUNS_TEST, ResidualCheck
from raystudy.laws.fit import LEAST_P_VALUE
from raystudy.report.figures import Drawn
from raystudy.report.law_arms import LawArm, Words, first
from raystudy.report.style import INK, PALETTE, panels, size_axis
from raystudy.report.view import MissingCellsError
from raystudy.report.words import listing

MOST = 9
SCALES = {"y": "", "log": "log ", "log1p": "log(1 + y) ", "probit": "probit "}


def residuals(arms: Sequence[LawArm], words: Words) -> Drawn:
    """One panel an arm and input: observed − fitted on the scale of the loss, one mark a run, and
    the mean at each value of the input. Raises MissingCellsError without an arm."""
    if not arms:
        raise MissingCellsError("needs runs at three sizes or more")
    numbers = pl.concat([_numbers(arm) for arm in arms])
    scale = arms[0].fit.settings.loss.scale if arms[0].fit.settings else "y"
    factor = words.factor if scale == "y" else 1.0
    inputs = arms[0].fit.law.inputs
    drawn, left = first(arms, max(1, MOST // len(inputs)))
    places = [(arm, k) for arm in drawn for k in range(len(inputs))]
    most = factor * float(numbers["residual"].abs().max() or 1.0)  # pyright: ignore[reportArgumentType]
    with panels(len(places), min(3, len(places)), 2.2) as (figure, axes):
        for place, (arm, k) in zip(axes, places, strict=True):
            rows = numbers.filter(arm=arm.name, input=inputs[k])
            x, residual = rows["x"].to_numpy(), factor * rows["residual"].to_numpy()
            at, index = np.unique(x, return_inverse=True)
            means = np.bincount(index, residual) / np.bincount(index)
            place.axhline(0, color="#6b7280", linewidth=1)
            place.plot(x, residual, "o", color=INK, markerfacecolor="white", markersize=4)
            if len(at) < len(x):
                place.plot(at, means, "-", color=PALETTE[0], marker="D", markersize=3.5)
            place.set_title(f"{arm.name} · {_short(_check(arm, inputs[k]))}")
            place.set_ylim(-1.15 * most, 1.15 * most)
            size_axis(place, x.tolist(), 5)
            place.set_xlabel(words.inputs[k])
        unit = words.output + (" (points)" if factor == 100 else "")
        for place in axes[:: min(3, len(places))]:
            place.set_ylabel(f"observed − fitted\n{SCALES[scale]}{unit}")
    return Drawn("residuals", "Residuals against size", _caption(arms) + left, figure, numbers)


def _numbers(arm: LawArm) -> pl.DataFrame:
    parts = []
    for k, name in enumerate(arm.fit.law.inputs):
        check = _check(arm, name)
        part = pl.DataFrame({"x": arm.x[:, k], "residual": arm.fit.residuals})
        parts.append(
            part.select(
                pl.lit(arm.name).alias("arm"),
                pl.lit(name).alias("input"),
                "x",
                "residual",
                pl.lit(check.num_signs if check else None, pl.Int64).alias("runs_of_one_sign"),
                pl.lit(check.expected if check else None, pl.Float64).alias("by_chance"),
                pl.lit(check.p_value if check else None, pl.Float64).alias("p_value"),
            )
        )
    return pl.concat(parts)


def _check(arm: LawArm, name: str) -> ResidualCheck | None:
    return next((check for check in arm.fit.residual_checks if check.input == name), None)


def _short(check: ResidualCheck | None) -> str:
    if check is None:
        return "too few to test"
    return "bends otherwise" if check.p_value < LEAST_P_VALUE else "no order seen"


def _caption(arms: Sequence[LawArm]) -> str:
    repeated = any(len(np.unique(arm.x[:, 0])) < len(arm.y) for arm in arms)
    text = f"Marks are runs{', the line joins their means' if repeated else ''}."
    several = len(arms[0].fit.law.inputs) > 1
    bent, straight, untested = [], [], False
    for arm in arms:
        for name in arm.fit.law.inputs:
            of = f"{arm.name} along {name}" if several else arm.name
            if (check := _check(arm, name)) is None:
                untested = True
            elif check.p_value < LEAST_P_VALUE:
                bent.append(
                    f"{of} ({check.num_signs - 1} changes of sign, {check.expected - 1:.0f} by "
                    f"chance, p = {check.p_value:.1g})"
                )
            else:
                straight.append(f"{of} (p = {check.p_value:.2g})")
    if bent:
        text += f" The law bends otherwise than the runs of {listing(bent)}."
    if straight:
        text += f" By runs of one sign, no order beyond chance in {listing(straight)}."
    if untested:
        text += (
            f" Fewer than {MIN_RUNS_TEST} sizes are too few to test for order: look for a bow, up "
            "or down, at both ends."
        )
    return text
