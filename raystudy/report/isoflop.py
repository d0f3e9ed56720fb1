"""Loss at equal compute: how large a model should be for what may be spent (IsoFLOP: the second
approach of Hoffmann et al. 2022, arXiv 2203.15556, here read off the fitted law)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from raystudy.laws.arrays import Doubles
from raystudy.laws.derived import FLOPS_PER_PARAMETER_AND_TOKEN, Allocation, compute_optimal
from raystudy.report.figures import Drawn
from raystudy.report.law_arms import LawArm, Words
from raystudy.report.style import (
    MARKERS,
    PALETTE,
    STROKES,
    canvas,
    compact,
    log_ticks,
    scientific,
    value_axis,
)
from raystudy.report.words import listing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NUM_BUDGETS = 5
NUM_POINTS = 120
MARGIN = (0.7, 1.4)
"""Of the smallest and of the largest N: where curves begin and end."""
NEAR = 1.25
"""How far a run's compute may be from a budget to be drawn with it, as a factor."""


def isoflop(arm: LawArm, words: Words, name: str = "isoflop") -> Drawn:
    """One curve a budget C = 6·N·D: the law's loss against N, its minimum with the interval of its
    N, and the runs that have about this compute.

    Raises FitError unless the law is ``Chinchilla``.
    """
    params, data = arm.x.T
    spent = FLOPS_PER_PARAMETER_AND_TOKEN * params * data
    budgets = np.geomspace(np.quantile(spent, 0.1), np.quantile(spent, 0.95), NUM_BUDGETS)
    best = [compute_optimal(arm.fit, float(budget)) for budget in budgets]
    numbers = pl.concat(
        [
            _of_budget(arm, float(budget), found)
            for budget, found in zip(budgets, best, strict=True)
        ],
        how="diagonal_relaxed",
    )
    span = MARGIN[0] * params.min(), MARGIN[1] * params.max()
    losses: list[float] = []
    with canvas(height=4.6) as (figure, axes):
        for i, budget in enumerate(budgets):
            colour, marker = PALETTE[i], MARKERS[i]
            rows = numbers.filter(compute=float(budget))
            curve = rows.filter(kind="curve")
            x, y = curve["N"].to_numpy(), curve["loss"].to_numpy()
            axes.plot(x, y, linestyle=STROKES[i], color=colour)
            runs = rows.filter(kind="run")
            axes.plot(runs["N"], runs["loss"], marker, color=colour, markersize=3.5, alpha=0.6)
            least = rows.filter(kind="minimum").row(0, named=True)
            _minimum(axes, least, span, colour, marker)
            losses += [least["loss"], *runs["loss"].to_list(), float(y[-1]), float(y[0])]
        axes.set_xscale("log")
        axes.set_xlim(*span)
        ticks = log_ticks(*span, 8)
        axes.set_xticks(ticks, [compact(tick) for tick in ticks])
        axes.set_xticks([], minor=True)
        top = min(
            max(losses), 1.05 * max(*arm.y, *(r for r in numbers.filter(kind="minimum")["loss"]))
        )
        value_axis(axes, [v for v in losses if v <= top])
        axes.set_xlabel(words.inputs[0])
        axes.set_ylabel(words.output_label)
    title = "Loss at equal compute" + (f": {arm.name}" if name != "isoflop" else "")
    return Drawn(name, title, _caption(numbers), figure, numbers)


def _of_budget(arm: LawArm, budget: float, best: Allocation) -> pl.DataFrame:
    """Rows of one budget: its curve over the N that were studied, its minimum, runs near it."""
    params, data = arm.x.T
    product = budget / FLOPS_PER_PARAMETER_AND_TOKEN
    at = np.geomspace(MARGIN[0] * params.min(), MARGIN[1] * params.max(), NUM_POINTS)
    loss = np.asarray(arm.fit.law.predict(np.stack([at, product / at], axis=1), arm.fit.parameters))
    near = np.abs(np.log(params * data / product)) <= np.log(NEAR)
    studied = _within(best.N[0], params) and _within(best.D[0], data)
    parts = [
        pl.DataFrame({"kind": "curve", "N": at, "D": product / at, "loss": loss}),
        pl.DataFrame({"N": params[near], "D": data[near], "loss": arm.y[near]}).select(
            pl.lit("run").alias("kind"), pl.all()
        ),
        pl.DataFrame(
            {
                "kind": ["minimum"],
                "N": [best.N[0]],
                "D": [best.D[0]],
                "loss": [best.loss[0]],
                "N_low": [best.N[1]],
                "N_high": [best.N[2]],
                "D_low": [best.D[1]],
                "D_high": [best.D[2]],
                "loss_low": [best.loss[1]],
                "loss_high": [best.loss[2]],
                "within_what_was_studied": [bool(studied)],
            }
        ),
    ]
    rows = pl.concat(parts, how="diagonal_relaxed")
    return rows.select(pl.lit(budget).alias("compute"), pl.all())


def _minimum(
    axes: Axes, least: dict[str, Any], span: tuple[float, float], colour: str, marker: str
) -> None:
    low, high = max(least["N_low"], span[0]), min(least["N_high"], span[1])
    if low < high:
        axes.hlines(least["loss"], low, high, color=colour, linewidth=5, alpha=0.3)
    axes.plot(
        [least["N"]],
        [least["loss"]],
        marker,
        color=colour,
        markersize=9,
        markeredgecolor="#000000",
        markerfacecolor=colour if least["within_what_was_studied"] else "white",
        zorder=4,
    )
    if span[0] <= least["N"] <= span[1]:
        axes.annotate(
            f"{scientific(least['compute'])} FLOPs",
            (least["N"], least["loss"]),
            xytext=(0, -9),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=8,
            color=colour,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.5},
        )


def _within(value: float, studied: Doubles) -> bool:
    return bool(studied.min() <= value <= studied.max())


def _caption(numbers: pl.DataFrame) -> str:
    least = numbers.filter(kind="minimum")
    told = [
        f"{compact(row['N'])} ({_range(row['N_low'], row['N_high'])}) "
        f"at {scientific(row['compute'])}"
        for row in least.iter_rows(named=True)
    ]
    outside = least.filter(~pl.col("within_what_was_studied"))
    text = (
        "Each curve is the fitted law along 6·N·D = C; small marks are runs within a factor of "
        f"{NEAR:g} of that compute. Large marks are the minima, with the interval of their N as a "
        f"bar: N = {listing(told)} FLOPs."
    )
    if len(outside):
        text += (
            f" Hollow: at {listing([scientific(c) for c in outside['compute']])} FLOPs the minimum "
            "is outside of what was studied, and is the law's word alone."
        )
    return text


def _range(low: float, high: float) -> str:
    if not (low > 0 and high < np.inf):
        return "no interval"
    return f"{compact(low)} to {compact(high)}"
