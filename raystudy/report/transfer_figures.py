"""The figures of effective data transferred: losses, the law, the multiplier, and compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from raystudy.laws.transfer import SCRATCH, Point
from raystudy.laws.transfer_law import TransferLaw
from raystudy.laws.transferred import Reading
from raystudy.report.figures import Drawn
from raystudy.report.style import (
    BASELINE_COLOUR,
    compact,
    looks,
    panels,
    size_axis,
    strokes,
    value_axis,
)
from raystudy.report.tuning_ends import tuning_ends
from raystudy.report.view import MissingCellsError
from raystudy.transfer import Suite

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 3
CURVE_POINTS = 40
ROOM = 3.0
"""How far beyond the marks an interval is drawn, as a factor: one that knows nothing has no end."""
BESIDE = 1.06
"""Between marks of the same D_F, as a factor, so that their intervals do not hide each other."""
FROM_SCRATCH = "from scratch"


def losses(suite: Suite) -> Drawn:
    """Loss against data, from scratch and fine-tuned, a panel for each model size."""
    measured = suite.measured
    look, stroke = looks(measured.arms), strokes([FROM_SCRATCH, *measured.arms])
    rows: list[tuple[Any, ...]] = []
    sizes = sorted(measured.curves)
    with panels(len(sizes), PANELS, 2.6) as (figure, every):
        for axes, n in zip(every, sizes, strict=True):
            curve = measured.curves[n]
            x = np.geomspace(curve.sizes[0], curve.sizes[-1], CURVE_POINTS)
            y, low, high = curve.band(x)
            axes.plot(x, y, color=BASELINE_COLOUR)
            _band(axes, x, low, high, BASELINE_COLOUR)
            axes.plot(curve.sizes, curve.means, "x", color=BASELINE_COLOUR, label=FROM_SCRATCH)
            rows += [(n, "law", FROM_SCRATCH, *row) for row in zip(x, y, low, high, strict=True)]
            for size, mean in zip(curve.sizes, curve.means, strict=True):
                rows.append((n, "mean", FROM_SCRATCH, size, mean, None, None))
            for arm in measured.arms:
                colour, marker = look[arm]
                own = [point for point in measured.of(arm) if n == point.N]
                at = [point.D_F for point in own]
                mean, low, high = (np.array(v) for v in zip(*(p.loss for p in own), strict=True))
                axes.plot(at, mean, marker=marker, ls=stroke[arm], color=colour, label=arm)
                _whiskers(axes, at, mean, low, high, colour)
                rows += [(n, "mean", arm, *r) for r in zip(at, mean, low, high, strict=True)]
        _finish(every, [f"{compact(n)} parameters" for n in sizes], rows)
        for axes in every:
            axes.set_xlabel(f"data learnt from ({suite.unit})")
        every[0].set_ylabel("test loss (nats)")
        _legend(figure, every)
    names = {n: own.fit.law.name for n, own in measured.curves.items()}
    caption = (
        "Means over seeds with 95 % intervals, each arm early-stopped at the best of the same "
        f"learning rates; the curve from scratch is loss = {next(iter(names.values()))}, with its "
        "band. How far to the right of a mark the curve has the same loss is what pre-training was "
        f"worth. {tuning_ends(suite.table['chosen'].drop_nulls().to_list())}"
    ).rstrip()
    return _drawn("transfer-losses", "Loss from scratch and fine-tuned", caption, figure, rows)


def law(suite: Suite, laws: Mapping[str, TransferLaw]) -> Drawn:
    """D_T against D_F, a panel for each arm; open marks have no say in the law."""
    caption = (
        "Effective data transferred, with 95 % intervals and the fitted law "
        "D_T = k·D_F^α·N^β with its band over seeds. Open marks have no say in it: they are bounds "
        "(arrows) or beyond low data."
    )
    return _by_arm(
        suite,
        laws,
        ("transfer-law", "Effective data transferred"),
        caption,
        f"D_T ({suite.unit})",
        lambda point: point.worth.D_T,
        lambda _, worth: worth,
    )


def multiplier(suite: Suite, laws: Mapping[str, TransferLaw]) -> Drawn:
    """D_E / D_F against D_F: how many times its size the fine-tuning data was worth."""
    caption = (
        "How many times as much data the model from scratch needs. 1 is no transfer; below it "
        "pre-training does harm (ossification)."
    )
    return _by_arm(
        suite,
        laws,
        ("transfer-multiplier", "Multiplier of the fine-tuning data"),
        caption,
        "D_E / D_F",
        _ratio,
        lambda data, worth: 1 + worth / data,
        level=1.0,
    )


def compute(suite: Suite) -> Drawn:
    """Loss against the compute of training, without that of pre-training and with it."""
    table = suite.table.drop_nulls("flops")
    if table.is_empty():
        raise MissingCellsError("needs an adaptation that counts its operations")
    known = table.filter(pl.col("arm") == SCRATCH, pl.col("flops") > 0)
    if known.is_empty():
        raise MissingCellsError("needs operations of the runs from scratch")
    means = (
        table.group_by("N", "arm", "D_F")
        .agg(
            pl.col("loss").log().mean().exp(),
            pl.col("flops", "pretraining_flops").mean(),
        )
        .sort("N", "arm", "D_F")
    )
    arms = [arm for arm in suite.measured.arms if arm in set(means["arm"])]
    look, stroke = looks(arms), strokes([FROM_SCRATCH, *arms])
    sizes = sorted(means["N"].unique())
    rows: list[tuple[Any, ...]] = []
    with panels(len(sizes), PANELS, 2.6) as (figure, every):
        for axes, n in zip(every, sizes, strict=True):
            for arm in (SCRATCH, *arms):
                own = means.filter(N=n, arm=arm).drop_nulls("flops")
                name = arm or FROM_SCRATCH
                colour, marker = look[arm] if arm else (BASELINE_COLOUR, "x")
                at, y = own["flops"].to_numpy(), own["loss"].to_numpy()
                axes.plot(at, y, marker=marker, ls=stroke[name], color=colour, label=name)
                rows += [(n, "training", name, *r, None, None) for r in zip(at, y, strict=True)]
                whole = own.drop_nulls("pretraining_flops").filter(pl.col("pretraining_flops") > 0)
                at = (whole["flops"] + whole["pretraining_flops"]).to_numpy()
                y = whole["loss"].to_numpy()
                if len(whole):
                    axes.plot(at, y, marker, color=colour, markerfacecolor="none")
                    rows += [
                        (n, "pre-training too", name, *r, None, None)
                        for r in zip(at, y, strict=True)
                    ]
        _finish(every, [f"{compact(n)} parameters" for n in sizes], rows)
        for axes in every:
            axes.set_xlabel("training compute (FLOP)")
        every[0].set_ylabel("test loss (nats)")
        _legend(figure, every)
    caption = (
        "One mark an amount of data, means over seeds. Compute of one training at one learning "
        "rate, up to where it was stopped (mean of the rates tried). Filled: pre-training counts "
        "for nothing, as it does for whoever finds the model ready. Open: it is paid for."
    )
    return _drawn("transfer-compute", "Loss against compute", caption, figure, rows)


def _by_arm(
    suite: Suite,
    laws: Mapping[str, TransferLaw],
    names: tuple[str, str],
    caption: str,
    label: str,
    value: Any,
    of_law: Any,
    level: float | None = None,
) -> Drawn:
    """``value`` of a point is (value, low, high); ``of_law`` makes it of D_F and D_T."""
    measured = suite.measured
    sizes = [f"{compact(n)} parameters" for n in sorted(measured.curves)]
    look, stroke = looks(sizes), strokes(sizes)
    rows: list[tuple[Any, ...]] = []
    hidden = 0
    with panels(len(measured.arms), PANELS, 2.8) as (figure, every):
        for axes, arm in zip(every, measured.arms, strict=True):
            for i, (n, size) in enumerate(zip(sorted(measured.curves), sizes, strict=True)):
                aside = BESIDE ** (i - (len(sizes) - 1) / 2)
                own = [point for point in measured.of(arm) if n == point.N]
                if not own:
                    continue
                colour, marker = look[size]
                axes.plot([], [], marker=marker, ls=stroke[size], color=colour, label=size)
                for point in own:
                    y, low, high = value(point)
                    rows.append((n, _kind(point), arm, point.D_F, y, low, high))
                    if y <= 0:
                        hidden += 1
                        continue
                    _mark(axes, point, aside * point.D_F, (y, low, high), colour, marker)
                if arm in laws:
                    ends = [point.D_F for point in own]
                    x = np.geomspace(min(ends), max(ends), CURVE_POINTS)
                    line, low, high = (of_law(x, v) for v in laws[arm].predict(x, n))
                    axes.plot(x, line, ls=stroke[size], color=colour, linewidth=1.2)
                    _band(axes, x, low, high, colour)
                    rows += [(n, "law", arm, *r) for r in zip(x, line, low, high, strict=True)]
            if level is not None:
                axes.axhline(level, color=BASELINE_COLOUR, linewidth=0.8)
        marks = [row for row in rows if row[1] != "law"]
        _finish(every, list(measured.arms), marks)
        for axes in every:
            axes.set_xlabel(f"fine-tuning data D_F ({suite.unit})")
        every[0].set_ylabel(label)
        _legend(figure, every)
    if hidden:
        caption += f" {hidden} below 0 have no place on the axis; the table has them."
    return _drawn(*names, caption, figure, rows)


def _mark(
    axes: Axes,
    point: Point,
    x: float,
    ends: tuple[float, float, float],
    colour: str,
    marker: str,
) -> None:
    y, low, high = ends
    inside = "none" if point.obstacle else colour
    axes.plot([x], [y], marker, color=colour, markerfacecolor=inside)
    if point.worth.reading is Reading.MEASURED:
        _whiskers(axes, np.array([x]), np.array([y]), np.array([low]), np.array([high]), colour)
        return
    up = point.worth.reading is Reading.AT_LEAST
    arrow: dict[str, Any] = {"arrowstyle": "->", "color": colour, "linewidth": 1.0}
    axes.annotate("", (x, y * (1.5 if up else 1 / 1.5)), (x, y), arrowprops=arrow)


def _kind(point: Point) -> str:
    return point.worth.reading.value if point.obstacle else "has a say"


def _whiskers(axes: Axes, x: Any, y: Any, low: Any, high: Any, colour: str) -> None:
    """Intervals, as far as they know of an end."""
    low, high = np.maximum(low, np.asarray(y) / 1e3), np.minimum(high, np.asarray(y) * 1e3)
    known = np.isfinite(low) & np.isfinite(high)
    at = np.asarray(x)[known]
    axes.vlines(at, low[known], high[known], color=colour, alpha=0.55, linewidth=1.2)


def _band(axes: Axes, x: Any, low: Any, high: Any, colour: str) -> None:
    if np.isfinite(low).all() and np.isfinite(high).all():
        low = np.maximum(low, 1e-300)
        axes.fill_between(x, low, high, color=colour, alpha=0.13, linewidth=0)


def _finish(every: Sequence[Axes], titles: Sequence[str], marks: Sequence[tuple]) -> None:
    """The same axes in every panel, about the ``marks``: (…, x, y, low, high) in the last four."""
    x = [float(row[-4]) for row in marks]
    y = np.array([row[-3] for row in marks if row[-3] > 0], dtype=np.float64)
    ends = [v for row in marks for v in row[-2:] if v is not None]
    room = np.array([v for v in ends if np.isfinite(v) and v > 0])
    room = np.clip(room, y.min() / ROOM, y.max() * ROOM)
    for axes, title in zip(every, titles, strict=True):
        axes.set_title(title)
        size_axis(axes, x, 5)
        axes.set_xlim(min(x) / 1.25, max(x) * 1.25)
        value_axis(axes, [*y.tolist(), *room.tolist()])
    for axes in every[1:]:
        axes.tick_params(labelleft=len(every) > PANELS)


def _legend(figure: Figure, every: Sequence[Axes]) -> None:
    handles, labels = every[0].get_legend_handles_labels()
    place: dict[str, Any] = {"loc": "outside upper left", "handlelength": 3.5}
    figure.legend(handles, labels, ncols=min(len(labels), 4), **place)


def _ratio(point: Point) -> tuple[float, float, float]:
    value, low, high = point.worth.D_E
    return value / point.D_F, low / point.D_F, high / point.D_F


def _drawn(name: str, title: str, caption: str, figure: Figure, rows: Sequence[tuple]) -> Drawn:
    columns = ("parameters", "kind", "arm", "x", "y", "low", "high")
    types = (pl.Float64, pl.String, pl.String, *[pl.Float64] * 4)
    numbers = pl.DataFrame(rows, dict(zip(columns, types, strict=True)), orient="row")
    return Drawn(name, title, caption, figure, numbers)
