"""What can be had for how much: the lowest error over arms that so many samples, or so much
compute, have given."""

from __future__ import annotations

import numpy as np
import polars as pl

from raystudy.intervals import mean_interval
from raystudy.report.figures import Drawn
from raystudy.report.law_arms import Words
from raystudy.report.point_labels import label_points
from raystudy.report.style import (
    BASELINE_COLOUR,
    INK,
    canvas,
    end_labels,
    looks,
    size_axis,
    value_axis,
)
from raystudy.report.view import MissingCellsError
from raystudy.report.words import listing

FEWEST = 3
MOST_LABELS = 9


def frontier(runs: pl.DataFrame, words: Words) -> Drawn:
    """``runs`` has columns arm, cost and y, one row a run; ``words.inputs`` says what cost is.

    Raises MissingCellsError for fewer than two arms or three points.
    """
    numbers = frontier_numbers(runs)
    arms = numbers["arm"].unique(maintain_order=True).to_list()
    if len(arms) < 2 or len(numbers) < FEWEST:
        raise MissingCellsError("needs two arms or more, at several sizes")
    few = len(arms) <= MOST_LABELS
    look = looks(arms) if few else dict.fromkeys(arms, (BASELINE_COLOUR, "o"))
    on = numbers.filter("on_frontier")
    with canvas(height=4.2) as (figure, axes):
        for arm in arms:
            colour, marker = look[arm]
            own = numbers.filter(arm=arm)
            x, y = own["cost"].to_numpy(), words.factor * own["mean"].to_numpy()
            axes.plot(x, y, marker, color=colour, markersize=5, alpha=0.9)
        at, best = on["cost"].to_numpy(), words.factor * on["mean"].to_numpy()
        end = float(numbers["cost"].to_numpy().max())
        axes.step(
            np.append(at, end), np.append(best, best[-1]), where="post", color=INK, linewidth=1.2
        )
        known = on.drop_nulls("low")  # of the others, intervals would hide the marks
        low, high = (words.factor * known[c].to_numpy() for c in ("low", "high"))
        axes.vlines(known["cost"], np.maximum(low, 1e-9), high, color=INK, alpha=0.4, linewidth=2)
        axes.plot(at, best, "o", color=INK, markerfacecolor="none", markersize=10)
        size_axis(axes, numbers["cost"].to_list(), 8)
        means = words.factor * numbers["mean"].to_numpy()
        value_axis(axes, means)
        axes.set_xlabel(words.inputs[0])
        axes.set_ylabel(words.output_label)
        last = numbers.sort("cost").group_by("arm", maintain_order=True).last()
        ends = [
            (words.factor * row["mean"], f"{look[row['arm']][1]} {row['arm']}", look[row["arm"]][0])
            for row in last.iter_rows(named=True)
        ]
        if few:
            end_labels(axes, _glyphs(ends))
        else:
            axes.set_xlim(axes.get_xlim())
            label_points(axes, at, best, on["arm"].to_list(), [INK] * len(on))
    return Drawn("frontier", "Frontier", _caption(on, words), figure, numbers)


def frontier_numbers(runs: pl.DataFrame) -> pl.DataFrame:
    """Means over the runs of an arm at one cost, cheapest first: arm, cost, mean, low, high,
    num_runs, on_frontier: whether no cheaper or equally cheap mean is as low."""
    rows = []
    for (arm, cost), own in runs.group_by("arm", "cost", maintain_order=True):
        mean, low, high = mean_interval(own["y"].to_numpy())
        known = len(own) > 1
        rows.append((arm, cost, mean, low if known else None, high if known else None, len(own)))
    columns = {
        "arm": pl.String,
        "cost": pl.Float64,
        "mean": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "num_runs": pl.Int64,
    }
    found = pl.DataFrame(rows, schema=columns, orient="row").sort(
        "cost", "mean", maintain_order=True
    )
    before = found["mean"].cum_min().shift(1)
    return found.with_columns(on_frontier=before.is_null() | (found["mean"] < before))


def _glyphs(ends: list[tuple[float, str, str]]) -> list[tuple[float, str, str]]:
    """Labels with the marker that they stand for, as text."""
    glyphs = {"o": "●", "s": "■", "D": "◆", "^": "▲", "v": "▼", "P": "✚", "X": "✖"}
    return [(y, f"{glyphs[text[0]]}{text[1:]}", colour) for y, text, colour in ends]


def _caption(on: pl.DataFrame, words: Words) -> str:
    names = on["arm"].unique(maintain_order=True).to_list()
    told = listing(names) if len(names) <= MOST_LABELS else f"{len(names)} arms, as labelled"
    bars = ", with their 95 % intervals" if on["low"].null_count() < len(on) else ""
    text = (
        f"Each mark is the mean of an arm's runs; the line is the lowest {words.output} so far, "
        f"from left to right, through the ringed marks{bars}. On it, cheapest first: {told}."
    )
    return text + (
        " The least of several means is lucky as well as good: an arm is better than its neighbour "
        "only where their intervals part."
    )
