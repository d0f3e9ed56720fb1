"""What a law says of the largest sizes without having seen them: the figure that judges it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from raystudy.intervals import COVERAGE
from raystudy.laws.arrays import Doubles
from raystudy.laws.fitted import Fit
from raystudy.report.figures import Drawn
from raystudy.report.law_arms import LawArm, Words, first
from raystudy.report.style import INK, PALETTE, compact, panels, size_axis, value_axis
from raystudy.report.view import MissingCellsError
from raystudy.report.words import listing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 9
NUM_POINTS = 80
BEYOND = (0, (4, 2))
LOOKS = (("fitted", "o", INK, INK), ("held out", "s", PALETTE[1], "white"))
"""Marker, edge and fill: told apart in grey too."""
MOST_LARGE = 40
"""Marks in a panel that leave room for large ones."""
REACH = 1.25
"""How far beyond the largest size a curve is drawn, as a factor."""


def held_out(arms: Sequence[LawArm], words: Words) -> Drawn:
    """One panel an arm: runs that the law was fitted to, those that it was not, and both bands.

    A law of several inputs has no curve to draw: there it is what was observed against what was
    predicted. Raises MissingCellsError where no arm has sizes to spare.
    """
    spared = [arm for arm in arms if arm.seen is not None]
    if not spared:
        why = arms[0].refusal if arms else "no arm has a law"
        raise MissingCellsError(f"needs sizes to fit the law without the largest ({why})")
    drawn, left = first(spared, MOST)
    numbers = pl.concat([_numbers(arm, words) for arm in spared], how="diagonal_relaxed")
    one_input = len(words.inputs) == 1
    shown = numbers.filter(pl.col("arm").is_in([arm.name for arm in drawn]))
    with panels(len(drawn), 3, 2.5 if one_input or len(drawn) > 1 else 4.2) as (figure, axes):
        for place, arm in zip(axes, drawn, strict=True):
            rows = shown.filter(arm=arm.name)
            _curve(place, rows, words) if one_input else _agreement(place, rows, words)
            assert arm.holdout
            place.set_title(f"{arm.name} · error of logs {arm.holdout.rmse_log:.2g}")
            _axes(place, shown, words)
        for place in axes[:: min(len(drawn), 3)]:
            place.set_ylabel(words.output_label)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=len(labels))
    return Drawn(
        "held-out",
        "The largest sizes, held out",
        _caption(arms, spared, numbers, words) + left,
        figure,
        numbers,
    )


def _numbers(arm: LawArm, words: Words) -> pl.DataFrame:
    """One row a run, and of a law of one input one row a point of its curve."""
    assert arm.seen is not None
    assert arm.holdout is not None
    size = arm.x[:, 0]
    kinds = np.where(size > arm.holdout.cutoff, "held out", "fitted")
    marks = [_table(arm, words, arm.x, kinds.tolist(), arm.y)]
    if len(words.inputs) == 1:
        low, high = size.min(), size.max()
        space = np.geomspace if low > 0 else np.linspace
        reach = high * REACH if low > 0 and high > 1 else high
        x = np.unique(np.append(space(low, reach, NUM_POINTS), arm.holdout.cutoff))
        marks.append(_table(arm, words, x[:, None], ["law"] * len(x), None))
    return pl.concat(marks, how="diagonal_relaxed")


def _table(
    arm: LawArm, words: Words, x: Doubles, kinds: list[str], observed: Doubles | None
) -> pl.DataFrame:
    fit = arm.seen
    assert isinstance(fit, Fit)
    at = x[:, 0] if x.shape[1] == 1 else x
    y, low, high = fit.predict(at)
    _, run_low, run_high = fit.predict(at, of="run")
    columns: dict[str, object] = {"arm": [arm.name] * len(x), "kind": kinds}
    columns |= {name: x[:, k] for k, name in enumerate(fit.law.inputs)}
    columns |= {"observed": observed} if observed is not None else {}
    bands = {"predicted": y, "low": low, "high": high, "run_low": run_low, "run_high": run_high}
    return pl.DataFrame(columns | bands).with_columns(
        pl.when(pl.col(name).is_finite()).then(name).alias(name)
        for name in ("low", "high", "run_low", "run_high")
    )


def _curve(axes: Axes, rows: pl.DataFrame, words: Words) -> None:
    law, colour = rows.filter(kind="law"), PALETTE[0]
    x = law[:, 2].to_numpy()
    y, low, high, run_low, run_high = (
        words.factor * law[c].to_numpy()
        for c in ("predicted", "low", "high", "run_low", "run_high")
    )
    cutoff = float(rows.filter(kind="fitted")[:, 2].to_numpy().max())
    seen = x <= cutoff
    from_here = x >= x[seen].max()
    axes.fill_between(
        x, run_low, run_high, color=colour, alpha=0.12, linewidth=0, label="band of a run"
    )
    axes.fill_between(
        x, low, high, color=colour, alpha=0.28, linewidth=0, label="band of the curve"
    )
    axes.plot(x[seen], y[seen], "-", color=colour, label="law")
    axes.plot(
        x[from_here], y[from_here], linestyle=BEYOND, color=colour, label="beyond what it saw"
    )
    axes.axvline(cutoff, color="#9ca3af", linewidth=0.8, linestyle=":")
    for kind, marker, ink, fill in LOOKS:
        runs = rows.filter(kind=kind)
        crowded = len(runs) > MOST_LARGE
        axes.plot(
            runs[:, 2],
            words.factor * runs["observed"].to_numpy(),
            marker,
            color=ink,
            markerfacecolor=fill,
            markersize=2.5 if crowded else 4.5,
            markeredgewidth=0.5 if crowded else 1.0,
            label=kind,
        )


def _agreement(axes: Axes, rows: pl.DataFrame, words: Words) -> None:
    every = rows.select("predicted", "observed").to_numpy() * words.factor
    ends = [every.min(), every.max()]
    axes.plot(ends, ends, "-", color=PALETTE[0], linewidth=1.2, label="as predicted")
    for kind, marker, ink, fill in LOOKS:
        runs = rows.filter(kind=kind)
        at = words.factor * runs["predicted"].to_numpy()
        if kind == "held out" and runs["run_low"].null_count() == 0:
            low, high = (words.factor * runs[c].to_numpy() for c in ("run_low", "run_high"))
            # The band of a run is along what is observed: how far it may lie from the diagonal.
            axes.vlines(
                at, low, high, color=PALETTE[0], alpha=0.3, linewidth=2, label="band of a run"
            )
        observed = words.factor * runs["observed"].to_numpy()
        size = 2.5 if kind == "fitted" else 4.5
        axes.plot(at, observed, marker, color=ink, markerfacecolor=fill, ms=size, label=kind)
    axes.set_xlabel(f"predicted {words.output_label}")


def _axes(axes: Axes, shown: pl.DataFrame, words: Words) -> None:
    """The same range in each panel: bands may leave it, runs may not."""
    runs = shown.filter(pl.col("kind") != "law")
    columns = ["observed", "predicted"]
    values = words.factor * np.concatenate([runs[c].to_numpy() for c in columns])
    value_axis(axes, values)
    if len(words.inputs) == 1:
        size_axis(axes, runs[:, 2].to_list(), 5)
        axes.set_xlabel(words.inputs[0])
        return
    # What is predicted on the scale of what is observed, or the diagonal would not be one.
    axes.set_xscale(axes.get_yscale())
    axes.set_xlim(axes.get_ylim())
    axes.set_xticks(axes.get_yticks(), [label.get_text() for label in axes.get_yticklabels()])
    axes.set_xticks([], minor=True)
    axes.set_xlim(axes.get_ylim())


def _caption(
    arms: Sequence[LawArm], spared: Sequence[LawArm], numbers: pl.DataFrame, words: Words
) -> str:
    one_input = len(words.inputs) == 1
    text = (
        f"{'Filled' if one_input else 'Small'} marks are the runs that the law was fitted to; "
        f"hollow ones, with {words.inputs[0]} beyond {_cutoffs(spared)}, it has not seen. "
        + _bands(spared[0], numbers, one_input)
    )
    errors = [
        f"{arm.name} {arm.holdout.rmse_log:.2g} ({arm.holdout.rmse_log_fitted:.2g} where fitted)"
        for arm in spared
        if arm.holdout
    ]
    text += f" Root mean square error of logs: {listing(errors)}."
    refused = [f"{arm.name}: {arm.refusal}" for arm in arms if arm.refusal]
    return text + (f" Nothing held out: {'; '.join(refused)}." if refused else "")


def _bands(arm: LawArm, numbers: pl.DataFrame, one_input: bool) -> str:
    held = numbers.filter(pl.col("run_low").is_not_null(), kind="held out")
    if held.is_empty():
        return "There is no band: one seed gives none."
    inside = int(held["observed"].is_between(held["run_low"], held["run_high"]).sum())
    coverage = arm.fit.settings.coverage if arm.fit.settings else COVERAGE
    text = (
        f"Dark bands hold {coverage:.0%} of resampled curves, light ones {coverage:.0%} of single "
        "new runs"
        if one_input
        else f"Bars hold {coverage:.0%} of single new runs"
    )
    return f"{text}: {inside} of {len(held)} held-out runs lie within theirs."


def _cutoffs(arms: Sequence[LawArm]) -> str:
    """The largest that was fitted, where arms agree on it."""
    cutoffs = {arm.holdout.cutoff for arm in arms if arm.holdout}
    return compact(cutoffs.pop()) if len(cutoffs) == 1 else "the dotted line"
