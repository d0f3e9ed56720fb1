"""Names beside points, each where it hides least."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from raystudy.kinds import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CORNERS = ((1, 1), (1, -1), (-1, 1), (-1, -1))
LETTER, LINE = 0.0105, 0.046
"""How wide a letter of a label and how high its line is, as shares of the axes."""


def label_points(
    axes: Axes, x: Floats, y: Floats, names: Sequence[str], colours: Sequence[str]
) -> None:
    """Each point's name at the corner of it where it covers least of others, clear of bars through
    the point. The axes' limits must be final."""
    # In shares of the axes: places of points and of labels already set, with half their extents.
    shares = axes.transAxes.inverted().transform(axes.transData.transform(np.c_[x, y]))
    taken = [(px, py, 0.012, 0.02) for px, py in shares]
    for i in map(int, np.argsort(-shares[:, 1], kind="stable")):
        half = LETTER * len(names[i]) / 2

        def covered(corner: tuple[int, int], i: int = i, half: float = half) -> float:
            cx, cy = shares[i] + np.array(corner) * (half + 0.008, 0.7 * LINE)
            outside = max(0.0, cx + half - 1, half - cx) / half + max(0.0, cy - 1, -cy) / LINE
            others = sum(
                max(0.0, half + w - abs(cx - ox)) * max(0.0, LINE / 2 + h - abs(cy - oy))
                for ox, oy, w, h in taken
            )
            return outside + others / (half * LINE)

        right, up = min(CORNERS, key=covered)
        cx, cy = shares[i] + np.array([right, up]) * (half + 0.008, 0.7 * LINE)
        taken.append((cx, cy, half, LINE / 2))
        axes.annotate(
            names[i],
            (x[i], y[i]),
            xytext=(4 * right, 3 * up),
            textcoords="offset points",
            ha="left" if right > 0 else "right",
            va="bottom" if up > 0 else "top",
            fontsize=8,
            color=colours[i],
        )
