"""Data multipliers side by side: what one example of the best arm is worth in the others'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from raystudy.laws.multiplier import Multiplier, MultiplierStatus
from raystudy.report.figures import Drawn
from raystudy.report.style import PALETTE, canvas, readable_ticks
from raystudy.report.view import MissingCellsError
from raystudy.report.words import factor, listing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKS = {
    MultiplierStatus.MEASURED: ("o", "full"),
    MultiplierStatus.AT_LEAST: (">", "none"),
    MultiplierStatus.NOT_REACHED: ("<", "none"),
}
ROOM = 1.35
"""Beyond the outermost number, as a factor."""


@dataclass(frozen=True)
class Pair:
    """The data of arm ``better`` in that of arm ``worse``; else ``refusal`` tells."""

    better: str
    worse: str
    multiplier: Multiplier | None
    refusal: str = ""


def multiplier_bars(found: Sequence[Pair]) -> Drawn:
    """One row a pair: a dot with its interval, or an arrow where there is a bound only.

    Raises MissingCellsError where no pair was read.
    """
    read = [(pair, pair.multiplier) for pair in found if pair.multiplier]
    if not read:
        refusals = {pair.refusal for pair in found if pair.refusal}
        why = f" ({'; '.join(sorted(refusals))})" if refusals else ""
        raise MissingCellsError(f"needs two arms at several sizes{why}")
    every = [v for _, m in read for v in (m.value, m.low, m.high)]
    finite = [v for v in every if 0 < v < np.inf] + [1.0]
    low, high = min(finite) / ROOM, max(finite) * ROOM
    colour = PALETTE[0]
    with canvas(height=0.9 + 0.42 * len(read)) as (figure, axes):
        axes.set_xscale("log")
        axes.set_xlim(low, high)
        axes.axvline(1, color="#6b7280", linewidth=1, linestyle="--")
        for row, (_, multiplier) in enumerate(read):
            _one(axes, row, multiplier, (low, high), colour)
            axes.annotate(
                factor(multiplier.text),
                (1.0, row),
                xycoords=("axes fraction", "data"),
                xytext=(8, 0),
                textcoords="offset points",
                va="center",
                annotation_clip=False,
            )
        ticks = readable_ticks(low, high)
        ticks = ticks[:: -(-len(ticks) // 8)]
        axes.set_xticks(ticks, [f"×{tick:g}" for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.set_yticks(range(len(read)), [f"{w.better} for {w.worse}" for w, _ in read])
        axes.set_ylim(len(read) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(False, axis="y")
        axes.set_xlabel("examples of the second that one of the first replaces")
    return Drawn(
        "multiplier-bars", "Data multipliers, side by side", _caption(found), figure, _numbers(read)
    )


def _one(
    axes: Axes, row: int, multiplier: Multiplier, span: tuple[float, float], colour: str
) -> None:
    left, right = max(multiplier.low, span[0]), min(multiplier.high, span[1])
    marker, fill = MARKS[multiplier.status]
    if multiplier.status is MultiplierStatus.AT_LEAST:
        right = span[1]
    elif multiplier.status is MultiplierStatus.NOT_REACHED:
        left = span[0]
    measured = multiplier.status is MultiplierStatus.MEASURED
    if not (measured and (multiplier.low, multiplier.high) == (0, np.inf)):  # as after one seed
        axes.plot([left, right], [row, row], "-", color=colour, linewidth=2, alpha=0.6)
        for end, arrow, is_open in (
            (left, "<", left <= span[0]),
            (right, ">", right >= span[1]),
        ):
            if is_open:
                axes.plot([end], [row], arrow, color=colour, markersize=6, clip_on=False)
    axes.plot(
        [multiplier.value],
        [row],
        marker,
        color=colour,
        markersize=7,
        markerfacecolor=colour if fill == "full" else "white",
        markeredgewidth=1.4,
    )


def _numbers(read: Sequence[tuple[Pair, Multiplier]]) -> pl.DataFrame:
    rows = [
        (w.better, w.worse, m.value, m.low, m.high if m.high < np.inf else None, m.status.value)
        for w, m in read
    ]
    columns = ("better", "worse", "multiplier", "low", "high", "status")
    types = [pl.String] * 2 + [pl.Float64] * 3 + [pl.String]
    return pl.DataFrame(rows, schema=dict(zip(columns, types, strict=True)), orient="row")


def _caption(found: Sequence[Pair]) -> str:
    text = (
        "A filled dot is read within the sizes that were studied, with its 95 % interval; a hollow "
        'triangle is a bound, the arrow points to where the multiplier may be: right of an "at '
        "least\", left of one that is not reached. Right of the dashed line the first arm's data "
        "is worth more."
    )
    refused = [f"{w.worse} ({w.refusal})" for w in found if w.multiplier is None]
    return text + (f" Not read: {listing(refused)}." if refused else "")
