"""What the runs say of each parameter by itself: how much worse they fit with it held elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from raystudy.laws.fitted import Fit
from raystudy.laws.profile import Profile
from raystudy.report.figures import Drawn
from raystudy.report.law_arms import LawArm, first
from raystudy.report.style import few_ticks, log_ticks, looks, panels, strokes
from raystudy.report.view import MissingCellsError
from raystudy.report.words import listing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 6
TOP = 2.6
"""The highest ratio that is drawn, in units of the threshold."""
NUM_VALUES, NUM_WIDENINGS, WIDENING, MOST_E_FOLDS = 41, 2, 3.0, 16.0
STRIP = 0.3
"""The height of one interval below the curves, likewise."""


def profiles(arms: Sequence[LawArm]) -> Drawn:
    """One panel a free parameter: the likelihood ratio at each of its values, the threshold that it
    must cross on both sides for the parameter to be identified, and the interval that this gives.

    Raises MissingCellsError without an arm, and where every parameter is fixed.
    """
    if not arms:
        raise MissingCellsError("needs runs at three sizes or more")
    drawn, left = first(arms, MOST)
    found = {arm.name: {name: looked_at(arm.fit, name) for name in _free(arm)} for arm in drawn}
    names = [name for name in arms[0].fit.law.parameters if name in found[drawn[0].name]]
    if not names:
        raise MissingCellsError("needs a law with a free parameter")
    look, stroke = looks(found), strokes(found)
    law = arms[0].fit.law
    with panels(len(names), 3, 2.6) as (figure, axes):
        for place, name in zip(axes, names, strict=True):
            of_name = [profile[name] for profile in found.values()]
            is_log = name in law.logarithmic
            _frame(place, of_name, [arm.fit.parameter(name)[0] for arm in drawn], is_log)
            for i, (arm, profile) in enumerate(zip(drawn, of_name, strict=True)):
                colour, marker = look[arm.name]
                _one(place, profile, arm.fit.parameter(name)[0], i, colour, marker)
                place.lines[-1].set_label(arm.name)
                place.plot(profile.values, profile.ratio, color=colour, linestyle=stroke[arm.name])
            place.set_title(_title(name, of_name))
        axes[0].set_ylabel("twice the log likelihood lost")
        if len(drawn) > 1:
            handles, labels = axes[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside upper left", ncols=len(labels))
    return Drawn(
        "profiles",
        "Profile likelihoods",
        _caption(found) + left,
        figure,
        _numbers(found),
    )


def looked_at(fit: Fit, name: str) -> Profile:
    """The profile of a parameter, looked at farther out on a side where it has not risen yet: few
    seeds may take their spread for much smaller than it is."""
    found = fit.profile(name)
    index = fit.law.parameters.index(name)
    best, bounds = float(fit.parameters[index]), fit.bounds[index]
    is_log = name in fit.law.logarithmic
    for _ in range(NUM_WIDENINGS):
        if found.identified or not (np.isinf(found.low) or np.isinf(found.high)):
            break
        at = np.log(found.values / best) if is_log else found.values - best
        reach = WIDENING * np.abs(at).max()
        if is_log:
            reach = min(reach, MOST_E_FOLDS)
        grid = np.linspace(-reach, reach, NUM_VALUES)
        values = np.clip(best * np.exp(grid) if is_log else best + grid, *bounds)
        found = fit.profile(name, np.unique(values))
    return found


def _title(name: str, found: Sequence[Profile]) -> str:
    flat = sum(not profile.identified for profile in found)
    if not flat:
        return name
    return f"{name}: not identified" + (f" in {flat} of {len(found)}" if len(found) > 1 else "")


def _free(arm: LawArm) -> list[str]:
    bounds = zip(arm.fit.law.parameters, arm.fit.bounds, strict=True)
    return [name for name, (low, high) in bounds if low != high]


def _frame(axes: Axes, found: Sequence[Profile], best: Sequence[float], is_log: bool) -> None:
    """As wide as the curves are of interest, with room for the intervals below."""
    threshold = found[0].threshold
    near = [profile.values[profile.ratio <= TOP * threshold] for profile in found]
    values = np.concatenate([*near, best])
    values = values[values > 0] if is_log else values
    low, high = float(values.min()), float(values.max())
    if is_log:
        axes.set_xscale("log")
        ticks = log_ticks(low, high, 4) if high > low else [low]
        axes.set_xticks(ticks, [_plain(tick) for tick in ticks])
        axes.set_xticks([], minor=True)
        room = (high / low) ** 0.06 if high > low else 1.5
        axes.set_xlim(low / room, high * room)
    else:
        room = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
        axes.set_xlim(low - room, high + room)
        few_ticks(axes, 5)
    axes.set_ylim(-threshold * (0.25 + STRIP * len(found)), TOP * threshold)
    axes.set_yticks([0, 2, 4, 6, 8, 10])
    axes.set_ylim(-threshold * (0.25 + STRIP * len(found)), TOP * threshold)
    axes.axhline(0, color="#9ca3af", linewidth=0.8)
    axes.axhline(threshold, color="#374151", linewidth=0.9, linestyle=":")


def _one(axes: Axes, profile: Profile, best: float, i: int, colour: str, marker: str) -> None:
    """The interval as a bar below; an arrow where the profile does not rise."""
    left, right = axes.get_xlim()
    y = -profile.threshold * (0.2 + STRIP * (i + 0.5))
    low = max(profile.low, left) if np.isfinite(profile.low) else left
    high = min(profile.high, right) if np.isfinite(profile.high) else right
    axes.plot([low, high], [y, y], "-", color=colour, linewidth=2, solid_capstyle="butt")
    for end, is_open, arrow in (
        (low, _open(profile, "low"), "<"),
        (high, _open(profile, "high"), ">"),
    ):
        if is_open:
            axes.plot([end], [y], arrow, color=colour, markersize=6, clip_on=False)
    fill = colour if profile.identified else "white"
    axes.plot([best], [y], marker, color=colour, markersize=5, markerfacecolor=fill)


def _open(profile: Profile, side: str) -> bool:
    """Whether the profile stays below the threshold as far as was looked on that side."""
    at = 0 if side == "low" else -1
    return bool(profile.ratio[at] <= profile.threshold)


def _numbers(found: dict[str, dict[str, Profile]]) -> pl.DataFrame:
    return pl.concat(
        pl.DataFrame(
            {
                "value": p.values,
                "objective": p.objective,
                "ratio": np.where(p.ratio < np.inf, p.ratio, np.nan),
            }
        ).select(
            pl.lit(arm).alias("arm"),
            pl.lit(name).alias("parameter"),
            "value",
            "objective",
            pl.col("ratio").fill_nan(None),
            pl.lit(p.threshold).alias("threshold"),
            pl.lit(p.low if np.isfinite(p.low) else None, pl.Float64).alias("low"),
            pl.lit(p.high if np.isfinite(p.high) else None, pl.Float64).alias("high"),
            pl.lit(p.identified).alias("identified"),
        )
        for arm, of_arm in found.items()
        for name, p in of_arm.items()
    )


def _caption(found: dict[str, dict[str, Profile]]) -> str:
    text = (
        "How much worse the runs fit with one parameter held at each value and all others fitted "
        "again. It is identified if the curve crosses the dotted line on both sides; the bar below "
        "is the interval between, with an arrow where it is open and a hollow mark where the "
        "parameter is not identified. Runs count as independent here: where seeds move all sizes "
        "together, the intervals of the table are the ones to quote."
    )
    flat = [
        f"{name} of {arm}" if len(found) > 1 else name
        for arm, of_arm in found.items()
        for name, profile in of_arm.items()
        if not profile.identified
    ]
    return text + (f" Not identified: {listing(flat)}." if flat else " All are identified.")


def _plain(value: float) -> str:
    if 1e-3 <= value < 1e4:
        return f"{value:g}"
    return f"{value:.0e}".replace("e+0", "e").replace("e-0", "e−").replace("e+", "e")
