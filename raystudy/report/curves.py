"""The figures that fit a law: error against pre-training examples, by source and by noise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from raystudy.kinds import Floats, Law
from raystudy.laws.fit import Fit, FitError, fit_law
from raystudy.report.figures import Drawn
from raystudy.report.style import canvas, compact, count_axis, end_labels, looks, percent_log_axis
from raystudy.report.view import MissingCellsError, View, difference
from raystudy.report.words import listing, percent, plural, points, shots_phrase, spaced

REACH = 2.0
"""How far beyond the largest size a curve is drawn, as a factor."""
CURVE_POINTS = 60


@dataclass(frozen=True)
class Arm:
    """One curve: its runs (columns size, seed, error; one row each), and their fit or why none."""

    name: str
    runs: pl.DataFrame
    fit: Fit | None
    refusal: str = ""

    @property
    def triple(self) -> tuple[Floats, Floats, Floats]:
        """Sizes, errors in [0, 1] and seeds, as ``raystudy.laws`` takes them."""
        size, error, seed = (self.runs[c].to_numpy() for c in ("size", "error", "seed"))
        return size, error, seed

    @property
    def largest(self) -> pl.DataFrame:
        return self.runs.filter(pl.col("size") == pl.col("size").max())


def source_arms(view: View, law: Law) -> list[Arm]:
    """Test errors of the first method on clean data, one arm per source."""
    rows = _probed(view).filter(noise="clean")
    return [_arm(law, s, rows.filter(source=s)) for s in view.sources if s in set(rows["source"])]


def noise_arms(view: View, law: Law) -> list[Arm]:
    """One arm per noise on the source that was corrupted most often; clean comes first."""
    rows = _probed(view)
    noisy = rows.filter(pl.col("noise") != "clean")
    if noisy.is_empty():
        return []
    rows = rows.filter(source=noisy["source"].mode().sort()[0])
    return [_arm(law, n, rows.filter(noise=n)) for n in view.noises if n in set(rows["noise"])]


def every_arm(view: View) -> pl.DataFrame:
    """Test errors of every method, source and noise that were probed at the headline shots: columns
    arm, cost (pre-training examples) and y, one row a run. Arms are called by what differs."""
    rows = view.test(adaptation=view.probe, shots=view.few).filter(pl.col("size") > 0)
    varying = [c for c in ("method", "source", "noise") if rows[c].n_unique() > 1] or ["source"]
    return rows.sort("size", "seed").select(
        pl.concat_str(varying, separator=" ").alias("arm"),
        pl.col("size").alias("cost"),
        (1 - pl.col("value")).alias("y"),
    )


def error_by_size(view: View, arms: Sequence[Arm]) -> Drawn:
    """Each seed's error, the fitted law and its 95 % band, one colour a source."""
    if not arms:
        raise MissingCellsError(
            f"needs a {spaced(view.probe)} on {view.method} backbones at several sizes"
        )
    caption = (
        f"One mark a seed: a {spaced(view.probe)} at {shots_phrase(view.few)} on {view.method} "
        f"backbones. Lines are the fitted law, dashed beyond the sizes studied; bands hold "
        "95 % of its resamples over seeds. "
    )
    return _draw(
        "error-by-size", "Error against pre-training examples", view.sources, arms, caption
    )


def noise_by_size(view: View, arms: Sequence[Arm]) -> Drawn:
    """The same, one colour a noise rate."""
    if len(arms) < 2 or arms[0].name != "clean":
        raise MissingCellsError(f"needs {view.method} backbones of one source, clean and corrupted")
    clean, worst = arms[0], arms[-1]
    source = clean.runs["source"][0]
    caption = (
        f"{source.capitalize()} corrupted before pre-training; error at {shots_phrase(view.few)}. "
    )
    harms = {
        size: gap
        for (size,), rows in worst.runs.group_by("size", maintain_order=True)
        if (gap := difference(rows, clean.runs.filter(size=size), "error"))
    }
    if harms:
        size = max(harms)
        higher = sum(gap["mean"] > 0 for gap in harms.values())
        certain = sum((gap["low"] or 0) > 0 for gap in harms.values())
        caption += (
            f"At {size:,} examples {worst.name} adds {points(harms[size])} of error. The error is "
            f"higher than clean at {higher} of {plural(len(harms), 'size', 0)}, with an interval "
            f"clear of zero at {certain}. "
        )
    return _draw("noise-by-size", "Noise against size", view.noises, arms, caption)


def _draw(name: str, title: str, names: Iterable[str], arms: Sequence[Arm], caption: str) -> Drawn:
    look = looks(names)
    marks, ends, errors, sizes = [], [], [], set()
    with canvas(height=4.2) as (figure, axes):
        for arm in arms:
            colour, marker = look[arm.name]
            size, error, _ = arm.triple
            sizes |= set(size.tolist())
            errors += (100 * error).tolist()
            axes.plot(size, 100 * error, marker, color=colour, alpha=0.75, markeredgewidth=0)
            marks.append(_labelled(arm, "run", arm.runs.select("size", "error", "seed")))
            if arm.fit is None:
                end, note = float(arm.largest["error"].mean()), "no fit"  # type: ignore[arg-type]
            else:
                curve = _curve(arm)
                marks.append(curve)
                x, y, low, high = (curve[c].to_numpy() for c in ("size", "error", "low", "high"))
                seen = x <= size.max()
                axes.plot(x[seen], 100 * y[seen], color=colour)
                axes.plot(x[~seen], 100 * y[~seen], "--", color=colour)
                axes.fill_between(x, 100 * low, 100 * high, color=colour, alpha=0.13, linewidth=0)
                end, note = float(y[-1]), f"{arm.fit.status.value} fit"
            errors.append(100 * end)
            ends.append((100 * end, f"{arm.name} ({note})", colour))
        beyond = {REACH * max(sizes)} if any(arm.fit for arm in arms) else set()
        count_axis(axes, sizes | beyond)
        percent_log_axis(axes, errors)
        axes.set_xlabel("pre-training examples")
        axes.set_ylabel("test error (%)")
        end_labels(axes, ends)
    numbers = pl.concat(marks, how="diagonal_relaxed")
    return Drawn(name, title, caption + _outlook(arms), figure, numbers)


def _curve(arm: Arm) -> pl.DataFrame:
    """The law from the smallest size to ``REACH`` times the largest; null band after one seed."""
    assert arm.fit
    size = arm.triple[0]
    x = np.geomspace(size.min(), size.max() * REACH, CURVE_POINTS)
    x = np.sort(np.append(x, size.max()))
    y, low, high = arm.fit.predict(x)
    curve = pl.DataFrame({"size": x, "error": y, "low": low, "high": high})
    band = pl.when(pl.col("low").is_finite() & pl.col("high").is_finite())
    curve = curve.with_columns(band.then("low").alias("low"), band.then("high").alias("high"))
    return _labelled(arm, "law", curve)


def _labelled(arm: Arm, kind: str, marks: pl.DataFrame) -> pl.DataFrame:
    return marks.select(pl.lit(arm.name).alias("arm"), pl.lit(kind).alias("kind"), pl.all())


def _outlook(arms: Sequence[Arm]) -> str:
    """What each law expects at ``REACH`` times the largest size."""
    expected: dict[float, list[str]] = {}
    for arm in arms:
        if arm.fit:
            beyond = REACH * arm.triple[0].max()
            y, low, high = (float(v[0]) for v in arm.fit.predict([beyond]))
            band = f" ({100 * low:.1f} to {100 * high:.1f})" if np.isfinite(low) else ""
            expected.setdefault(beyond, []).append(f"{percent(y)}{band} for {arm.name}")
    sentences = [
        f"Extrapolated to {compact(size)} examples, the error is {listing(errors)}."
        for size, errors in expected.items()
    ]
    for refusal in dict.fromkeys(arm.refusal for arm in arms if arm.refusal):
        refused = [arm.name for arm in arms if arm.refusal == refusal]
        sentences.append(f"No law: {listing(refused)}: {refusal}.")
    return " ".join(sentences)


def _probed(view: View) -> pl.DataFrame:
    rows = view.test(method=view.method, adaptation=view.probe, shots=view.few)
    rows = rows.filter(pl.col("size") > 0)  # what others pre-trained has no place on the axis
    return rows.with_columns(error=1 - pl.col("value")).sort("size", "seed")


def _arm(law: Law, name: str, runs: pl.DataFrame) -> Arm:
    size, error, seed = (runs[c].to_numpy() for c in ("size", "error", "seed"))
    try:
        return Arm(name, runs, fit_law(law, size, error, seed))
    except FitError as refusal:
        return Arm(name, runs, None, str(refusal))
