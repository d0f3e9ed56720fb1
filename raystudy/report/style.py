"""How every figure looks: a calm frame, colours told apart by all readers, ticks one can read."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito 2008, "Color Universal Design"; yellow left out, too pale on white. Ordered so that
# neighbours also differ in lightness.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
STROKES = (
    "-",
    (0, (6, 2)),
    (0, (6, 2, 1, 2)),
    (0, (1, 1.5)),
    (0, (10, 3)),
    (0, (3, 1, 1, 1, 1, 1)),
)
BASELINE_COLOUR = "#6b7280"
INK = "#374151"
WIDTH = 7.6
MOST_TICKS = 9
MOST_STUDIED = 12
"""Values beyond which an axis is marked at round numbers instead."""
FEWEST_TICKS = 4
LEAST_RATIO = 3.0
"""Between the largest and the smallest of what an axis shows, for it to be logarithmic."""
TICK_GAP = 0.065
"""Between two names on a logarithmic axis, as a share of the range."""
LABEL_GAP = 0.062
"""Between the middles of two labels, as a share of the axes' height."""

RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": "#9ca3af",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e5e7eb",
    "grid.linewidth": 0.7,
    "xtick.color": "#9ca3af",
    "ytick.color": "#9ca3af",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "text.parse_math": False,  # names come from data: a dollar sign is a dollar sign
    "lines.linewidth": 1.6,
    "lines.markersize": 5.0,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "savefig.transparent": True,
}


@contextmanager
def canvas(height: float = 3.9) -> Iterator[tuple[Figure, Axes]]:
    """A figure as wide as a page's text, ``height`` inches high, and its axes; draw inside."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure, figure.subplots()


@contextmanager
def panels(number: int, most: int, row_height: float = 2.3) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure of several axes, at most ``most`` in a row, in reading order; draw inside."""
    import matplotlib
    from matplotlib.figure import Figure

    columns = min(number, most)
    rows = -(-number // columns)
    smaller: dict[Any, Any] = RC | {"axes.titlesize": 8.0, "font.size": 8.0}
    with matplotlib.rc_context(smaller):
        figure = Figure(figsize=(WIDTH, 0.5 + row_height * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
        for spare in axes[number:]:
            spare.set_axis_off()
        yield figure, axes[:number]


def looks(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """A colour and a marker per name, by position: the same name looks the same everywhere."""
    return {
        name: (PALETTE[i % len(PALETTE)], MARKERS[(i + i // len(PALETTE)) % len(MARKERS)])
        for i, name in enumerate(names)
    }


def strokes(names: Iterable[str]) -> dict[str, Any]:
    """A line style per name, by position: lines are told apart without their colours."""
    return {name: STROKES[i % len(STROKES)] for i, name in enumerate(names)}


def svg(figure: Figure, name: str) -> str:
    """The figure as a file of its own; ids are unique to ``name``."""
    import matplotlib

    text = io.StringIO()
    salted: dict[Any, Any] = RC | {"svg.hashsalt": name}
    with matplotlib.rc_context(salted):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def inlined(drawing: str) -> str:
    """An SVG file as an HTML element: no prologue, namespaces, group ids or fixed size."""
    body = drawing[drawing.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    head, rest = body.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    assert box
    return f'<svg {box[0]} aria-hidden="true">{rest}'


def pdf(figure: Figure) -> bytes:
    """The figure for a paper; the same bytes for the same numbers."""
    import matplotlib

    data = io.BytesIO()
    with matplotlib.rc_context(RC):
        figure.savefig(data, format="pdf", metadata={"CreationDate": None, "Creator": None})
    return data.getvalue()


def count_axis(axes: Axes, ticks: Iterable[float], labels: Sequence[str] | None = None) -> None:
    """A logarithmic x axis marked at the values studied: 500, 1k, 2k, … in place of 10³."""
    axes.set_xscale("log")
    values = sorted(set(ticks))
    step = -(-len(values) // MOST_TICKS)
    names = list(labels or map(compact, values))
    kept = list(range(0, len(values), step))
    for i in kept[:-1]:  # names that would touch say less than one of them
        following = kept[kept.index(i) + 1]
        if np.log(values[following] / values[i]) < TICK_GAP * np.log(values[-1] / values[0]):
            names[i] = ""
    axes.set_xticks([values[i] for i in kept], [names[i] for i in kept])
    axes.set_xticks([], minor=True)


def percent_log_axis(axes: Axes, values: Iterable[float]) -> None:
    """A logarithmic y axis in % around ``values``, with enough ticks to read a number off."""
    axes.set_yscale("log")
    finite = [v for v in values if v > 0] or [1.0]
    low, high = 0.9 * min(finite), 1.1 * max(finite)
    ticks = readable_ticks(low, high)
    axes.set_ylim(low, high)
    axes.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axes.set_yticks([], minor=True)


def size_axis(axes: Axes, values: Iterable[float], most: int = 6) -> None:
    """An x axis marked at some of the ``values`` that were studied, ``most`` at most: logarithmic
    if they span more than a factor of three."""
    studied = np.unique(np.fromiter(values, dtype=np.float64))
    if studied[0] <= 0 or studied[-1] < LEAST_RATIO * studied[0]:
        few_ticks(axes, most)
        return
    axes.set_xscale("log")
    gap = np.log(studied[-1] / studied[0]) / most
    kept = [float(studied[0])]
    for value in studied[1:].tolist():
        if np.log(value / kept[-1]) >= 0.999 * gap:
            kept.append(value)
    if len(studied) > MOST_STUDIED:
        kept = log_ticks(float(studied[0]), float(studied[-1]), most)
    axes.set_xticks(kept, [compact(v) for v in kept])
    axes.set_xticks([], minor=True)


def few_ticks(axes: Axes, most: int) -> None:
    """At most about ``most`` ticks on a linear x axis."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(most))


def value_axis(axes: Axes, values: Iterable[float]) -> None:
    """A y axis around ``values``: logarithmic if they are positive and span more than a factor of
    three."""
    finite = np.array([v for v in values if np.isfinite(v)])
    low, high = float(finite.min()), float(finite.max())
    if low > 0 and high > LEAST_RATIO * low:
        percent_log_axis(axes, finite.tolist())
        return
    room = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    axes.set_ylim(low - room, high + room)


def log_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """About ``most`` round numbers from ``low`` to ``high``: decades where there are many."""
    if high < LEAST_RATIO * low:
        from matplotlib.ticker import MaxNLocator

        ticks = MaxNLocator(most).tick_values(low, high)
        return [float(tick) for tick in ticks if low <= tick <= high]
    first, last = int(np.ceil(np.log10(low))), int(np.floor(np.log10(high)))
    if last - first >= 2:
        return [float(f"1e{e}") for e in range(first, last + 1, -(-(last - first + 1) // most))]
    ticks = readable_ticks(low, high)
    return ticks[:: -(-len(ticks) // most)]


def readable_ticks(low: float, high: float) -> list[float]:
    """Round numbers from ``low`` to ``high``: the sparsest ladder that gives enough of them."""
    ladders = ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7), tuple(np.arange(1, 10, 0.5)))
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    rungs = ([float(f"{m}e{e}") for e in decades for m in ladder] for ladder in ladders)
    choices = [[tick for tick in rung if low <= tick <= high] for rung in rungs]
    return next((ticks for ticks in choices if len(ticks) >= FEWEST_TICKS), choices[-1])


def end_labels(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Names of lines at the right edge, in their colours, pushed apart where they would touch.

    ``ends`` holds (y in data units, text, colour); the axes' limits must be final.
    """
    if not ends:
        return
    to_share = axes.transAxes.inverted()
    shares = [to_share.transform(axes.transData.transform((1.0, y)))[1] for y, _, _ in ends]
    order = np.argsort(shares, kind="stable")
    placed = spread(np.clip(np.array(shares)[order], 0, 1), LABEL_GAP)
    for share, i in zip(placed, order, strict=True):
        _, text, colour = ends[i]
        axes.annotate(
            text,
            (1.0, share),
            xycoords="axes fraction",
            xytext=(6, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            annotation_clip=False,
        )


def spread(places: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """The nearest ascending places (least squares) at least ``gap`` apart. Shape (N,)."""
    from scipy.optimize import isotonic_regression

    steps = gap * np.arange(len(places))
    return isotonic_regression(places - steps).x + steps


def compact(count: float) -> str:
    """A count as figures show it."""
    if count >= 1e15:
        return scientific(count)
    for unit, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            return f"{count / unit:.3g}{suffix}"
    return f"{count:.3g}"


def scientific(value: float) -> str:
    """A number of many digits: 9.4e17."""
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}".replace("-", "−")
