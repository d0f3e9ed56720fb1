"""The figures that compare arms: by shots, by method, by shift. Each says what one should see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from raystudy.report.style import (
    BASELINE_COLOUR,
    canvas,
    count_axis,
    end_labels,
    looks,
)
from raystudy.report.view import BASELINE, MissingCellsError, View, in_order, seed_means
from raystudy.report.words import (
    baseline,
    interval,
    listing,
    percent,
    plural,
    pretrained,
    shots_phrase,
    spaced,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


BEYOND_SHOTS = 4.0
"""Where full data stands on an axis of shots, in multiples of the most shots, if its number of
examples is not known."""


@dataclass(frozen=True)
class Drawn:
    """A figure, the numbers in it (one row a mark) and the sentence under it."""

    name: str
    title: str
    caption: str
    figure: Figure
    numbers: pl.DataFrame


def accuracy_by_shots(view: View) -> Drawn:
    """Accuracy against labelled examples by source, above what an untrained backbone gives."""
    table = sources_by_shots(view).filter(pl.col("shots") != "0")
    if table.is_empty():
        raise MissingCellsError(
            f"needs a {spaced(view.probe)} on a {view.method} backbone of size {view.size:,}"
        )
    floor = view.test(method=BASELINE).filter(pl.col("shots") != "0")
    untrained = seed_means(floor, "source", "adaptation", "shots", "num_train")
    numbers = pl.concat([table, untrained.select(table.columns)])
    look = looks(view.sources)
    places = _places(numbers)
    ends = []
    with canvas() as (figure, axes):
        for (source, adaptation), arm in numbers.group_by(
            "source", "adaptation", maintain_order=True
        ):
            arm = arm.with_columns(x=pl.col("shots").replace_strict(places)).sort("x")
            if source == BASELINE:
                from_scratch = adaptation != view.probe
                colour, marker = BASELINE_COLOUR, "x" if from_scratch else "."
                name = f"untrained, {adaptation}" if from_scratch else baseline(view.probe)
                style = ":" if from_scratch else "--"
            else:
                (colour, marker), name, style = look[source], source, "-"
            y, low, high = (100 * arm[c].to_numpy() for c in ("accuracy", "low", "high"))
            axes.fill_between(arm["x"], low, high, color=colour, alpha=0.15, linewidth=0)
            axes.plot(arm["x"], y, style, marker=marker, color=colour)
            ends.append((y[-1], name, colour))
        count_axis(axes, places.values(), sorted(places, key=lambda s: places[s]))
        axes.set_xlabel("labelled examples per class (shots)")
        axes.set_ylabel("test accuracy (%)")
        axes.set_ylim(0, 100)
        end_labels(axes, ends)
    return Drawn(
        "accuracy-by-shots",
        "Accuracy against shots, by source",
        _shots_caption(view, table, untrained),
        figure,
        numbers,
    )


def methods_side_by_side(view: View) -> Drawn:
    """Every method × adaptation at the largest size that the methods share."""
    every, source, size = methods_numbers(view)
    numbers = every.filter(pl.col("shots").is_in(["0", view.few, "full"]))
    methods = [m for m in (*view.methods, BASELINE) if m in set(numbers["method"])]
    settings = numbers.select("adaptation", "shots").unique(maintain_order=True).rows()
    names = [f"{a}, {shots_phrase(s)}" for a, s in settings]
    look = looks(view.methods) | {BASELINE: (BASELINE_COLOUR, "x")}
    with canvas(height=1.1 + 0.55 * len(settings)) as (figure, axes):
        for method in methods:
            arm = numbers.filter(method=method)
            at = [settings.index(r) for r in arm.select("adaptation", "shots").rows()]
            label = "untrained" if method == BASELINE else method
            _dots(axes, at, arm, methods.index(method), len(methods), *look[method], label)
        _rows(axes, names)
        axes.set_xlabel("test accuracy (%)")
        figure.legend(loc="outside upper left", ncols=len(methods))
    return Drawn(
        "methods",
        "Methods side by side",
        _methods_caption(view, numbers, source, size),
        figure,
        numbers,
    )


def robustness(view: View) -> Drawn:
    """Accuracy on the task's named shifts, by source."""
    arm = view.records.filter(
        pl.col("split").str.starts_with("test"),
        method=view.method,
        noise="clean",
        size=view.size,
        adaptation=view.probe,
        shots=view.few,
    )
    splits = ["test", *sorted(set(arm["split"]) - {"test"})]
    if len(splits) == 1 or arm.filter(split="test").is_empty():
        raise MissingCellsError("needs a task with named shifts")
    numbers = in_order(seed_means(arm, "source", "split"), source=view.sources, split=splits)
    means = numbers.group_by("split").agg(pl.col("accuracy").mean())
    level = dict(means.iter_rows())
    splits.sort(key=lambda s: (s != "test", -level[s]))
    look = looks(view.sources)
    with canvas(height=1.1 + 0.42 * len(splits)) as (figure, axes):
        for i, source in enumerate(view.sources):
            own = numbers.filter(source=source)
            at = [splits.index(s) for s in own["split"]]
            _dots(axes, at, own, i, len(view.sources), *look[source], source)
        _rows(axes, [s.removeprefix("test-") if s != "test" else "no shift" for s in splits])
        axes.set_xlabel(f"test accuracy at {shots_phrase(view.few)} (%)")
        figure.legend(loc="outside upper left", ncols=len(view.sources))
    worst = splits[-1]
    caption = (
        f"Test images changed after adaptation to clean ones. On average over sources, "
        f"{worst.removeprefix('test-')} costs most: {percent(level['test'])} falls to "
        f"{percent(level[worst])}."
    )
    return Drawn("robustness", "Accuracy under shift", caption, figure, numbers)


def methods_numbers(view: View) -> tuple[pl.DataFrame, str, int]:
    """Mean accuracy per method, adaptation and shots; with the source and size that they share.

    Raises MissingCellsError where no source and size has two methods.
    """
    trained = view.test(noise="clean").filter(pl.col("method") != BASELINE)
    shared = (
        trained.group_by("source", "size")
        .agg(pl.col("method").n_unique())
        .sort("method", "size", "source", descending=[True, True, False])
    )
    if shared.is_empty() or shared["method"][0] < 2:
        raise MissingCellsError("needs a second method on the same source, at the same size")
    source, size = shared["source"][0], shared["size"][0]
    rows = [trained.filter(source=source, size=size), view.test(method=BASELINE)]
    numbers = seed_means(pl.concat(rows), "method", "adaptation", "shots")
    shots = ("0", *view.shots)
    return in_order(numbers, shots=shots, adaptation=view.adaptations), source, size


def sources_by_shots(view: View) -> pl.DataFrame:
    """Mean accuracy of the probe at the headline size, per source and shots."""
    arm = view.test(method=view.method, noise="clean", adaptation=view.probe, size=view.size)
    table = seed_means(arm, "source", "adaptation", "shots", "num_train")
    return in_order(table, source=view.sources, shots=view.shots)


def _places(numbers: pl.DataFrame) -> dict[str, float]:
    """Shots → where they stand on the axis: how many examples they are; by their own number where
    that is not known of all, which tables of others rarely say, with the full data at the end."""
    found = dict(numbers.group_by("shots").agg(pl.col("num_train").mean()).iter_rows())
    if None not in found.values():
        return found
    counts = {shots: float(shots) for shots in found if shots != "full"}
    end = BEYOND_SHOTS * max(counts.values(), default=1.0)
    return counts | {shots: end for shots in found if shots == "full"}


def _dots(
    axes: Axes,
    rows: Sequence[int],
    arm: pl.DataFrame,
    place: int,
    places: int,
    colour: str,
    marker: str,
    label: str,
) -> None:
    """Means with their intervals on horizontal rows, one height within a row per arm."""
    offset = 0.6 * ((place + 0.5) / places - 0.5)
    mean, low, high = (100 * arm[c].to_numpy() for c in ("accuracy", "low", "high"))
    y = [row + offset for row in rows]
    axes.hlines(y, low, high, color=colour, alpha=0.55, linewidth=2)
    axes.plot(mean, y, marker, color=colour, label=label)


def _rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(max(0, axes.get_xlim()[0]), min(100, axes.get_xlim()[1]))
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    for edge in range(1, len(names)):
        axes.axhline(edge - 0.5, color="#e5e7eb", linewidth=0.7)


def _shots_caption(view: View, table: pl.DataFrame, untrained: pl.DataFrame) -> str:
    shots = view.few if view.few in set(table["shots"]) else table["shots"][-1]
    at = table.filter(shots=shots).sort("accuracy", descending=True)
    best = at.row(0, named=True)
    text = (
        f"Pre-training: {view.method}, {pretrained(view.size)}; then a {spaced(view.probe)}. "
        f"At {shots_phrase(shots)} {best['source']} gives {interval(best)}"
    )
    if len(at) > 1:
        rest = [f"{r['source']} {percent(r['accuracy'])}" for r in at.iter_rows(named=True)][1:]
        text += f", {listing(rest)}"
    floor = untrained.filter(adaptation=view.probe, shots=shots)
    text += f"; {baseline(view.probe)}: {percent(floor['accuracy'][0])}." if len(floor) else "."
    ends = [s for s in (view.shots[0], view.shots[-1]) if table.filter(shots=s).height > 1]
    if len(ends) == 2 and ends[0] != ends[1]:
        few, many = (100 * np.ptp(table.filter(shots=s)["accuracy"].to_numpy()) for s in ends)
        verb = "shrinks" if many < few else "grows"
        text += (
            f" The range of these means over sources {verb} from {plural(few, 'point')} at "
            f"{shots_phrase(ends[0])} to {many:.1f} at {shots_phrase(ends[1])}."
        )
    return text


def _methods_caption(view: View, numbers: pl.DataFrame, source: str, size: int) -> str:
    text = f"Every method pre-trained on {size:,} clean examples of {source}."
    trained = numbers.filter(pl.col("method") != BASELINE)
    for shots in dict.fromkeys((view.few, "full")):
        at = trained.filter(shots=shots).sort("accuracy", descending=True)
        if len(at):
            best = at.row(0, named=True)
            text += (
                f" At {shots_phrase(shots)} the best is {best['method']} with "
                f"{best['adaptation']}: {interval(best)}."
            )
    return text
