"""Effective data transferred: how much target data a pre-training stands for, at one model size.

D_E is the data that a model of the same size needs from scratch to reach the fine-tuned model's
loss; D_T = D_E − D_F is what pre-training added (Hernandez et al. 2021, arXiv 2102.01293). D_E is
read off the from-scratch curve within its measured sizes; beyond them it is a bound.

Shapes: S runs, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike

from raystudy.intervals import COVERAGE
from raystudy.laws.arrays import Doubles
from raystudy.laws.basins import num_free, set_up
from raystudy.laws.bootstrap import student_ratio
from raystudy.laws.fitted import Fit
from raystudy.laws.inversion import invert
from raystudy.laws.status import FitError
from raystudy.randomness import generator

SATURATION = 0.99
LOW_DATA = 0.1
"""Of D(N): where the law of transfer holds."""
REACH = 1e6
"""How far beyond the largest size D(N) is looked for, as a factor."""


Interval = tuple[float, float, float]
"""(value, low, high)"""


class Reading(Enum):
    MEASURED = "measured"
    AT_LEAST = "at least"
    """From scratch the loss is not reached at any measured size: D_E exceeds the largest."""
    AT_MOST = "at most"
    """From scratch the loss is better at the smallest size already: D_E falls short of it."""


@dataclass(frozen=True)
class Transferred:
    """At ``D_F`` examples: (value, low, high) of D_E and D_T, and what to think of them.

    ``low_data``: D_F is at most a tenth of D(N), which brings a model to 99 % of its best loss; the
    law of transfer is for such alone. None where the curve shows no limit. ``ossified``: the
    interval of D_T is below 0, so that pre-training harms.
    """

    D_F: float
    D_E: Interval
    D_T: Interval
    reading: Reading
    D_N: float | None
    low_data: bool | None
    ossified: bool


def transferred(
    scratch: Fit, D_F: float, losses: ArrayLike, *, random_seed: int = 0
) -> Transferred:
    """What pre-training is worth to fine-tuned runs with ``losses`` (S,) on ``D_F`` examples, by
    the curve from scratch of models of the same size.

    The interval holds the doubt about the curve and, of several losses, about their mean, as of
    independent runs; where seeds are paired, take ``raystudy.laws.transfer``. Raises FitError if
    the curve was not fitted by ``raystudy.laws.fit.fit``, has several inputs, or D_F is not
    positive.
    """
    runs = scratch.runs
    seen = np.asarray(losses, dtype=np.float64)
    if runs is None or len(scratch.law.inputs) != 1:
        raise FitError("transferred needs a curve of one input, fitted by raystudy.laws.fit.fit")
    if not (D_F > 0 and seen.ndim == 1 and len(seen) and np.isfinite(seen).all()):
        raise FitError("D_F must be positive, and losses one finite number a run")
    low, high = float(runs.x.min()), float(runs.x.max())

    def sizes(curves: Doubles, targets: Doubles) -> Doubles:
        return invert(scratch.law, curves, targets, low, high)

    value = float(sizes(scratch.parameters[None], seen.mean(keepdims=True))[0])
    least, most = 0.0, float("inf")
    if len(scratch.resampled):
        least, most = _interval(scratch, sizes, value, seen, random_seed)
    reading = Reading.MEASURED
    if np.isinf(value):
        reading, value = Reading.AT_LEAST, high
        least = least if np.isfinite(least) else high
    elif value == 0:
        reading, value = Reading.AT_MOST, low
        most = most if most > 0 else low
    return judged(D_F, (value, least, most), reading, saturating_size(scratch))


def judged(D_F: float, D_E: Interval, reading: Reading, D_N: float | None) -> Transferred:
    """What follows from D_E, and from where the curve saturates."""
    value, least, most = D_E
    return Transferred(
        D_F,
        D_E,
        (value - D_F, least - D_F, most - D_F),
        reading,
        D_N,
        None if D_N is None else D_F <= LOW_DATA * D_N,
        bool(most < D_F),
    )


def saturating_size(scratch: Fit) -> float | None:
    """D(N): the data with which 0.99 of the loss is the loss of data without end. None where the
    curve goes on falling for as far as was looked."""
    assert scratch.runs is not None
    largest = float(scratch.runs.x.max())
    limit = float(scratch.law.predict(np.array([largest * REACH**2]), scratch.parameters)[0])
    low = float(scratch.runs.x.min())
    found = invert(
        scratch.law,
        scratch.parameters[None],
        np.array([limit / SATURATION]),
        low,
        largest * REACH,
    )[0]
    if np.isinf(found) or limit <= 0:
        return None
    return low if found == 0 else float(found)


def _interval(
    scratch: Fit,
    sizes: Callable[[Doubles, Doubles], Doubles],
    value: float,
    losses: Doubles,
    random_seed: int,
) -> tuple[float, float]:
    """Percentiles of the sizes at which resampled curves meet resampled means.

    Curve and mean are independent: each variance is stretched for its own number of units, and the
    freedom of their sum is Welch's and Satterthwaite's, about the freedoms of both together. Of
    one alone it would be that of half as many seeds, and intervals far too wide.
    """
    draws = generator(random_seed, "resample fine-tuned losses", len(losses))
    means = draws.choice(losses, size=(len(scratch.resampled), len(losses))).mean(1)
    found = sizes(scratch.resampled, means)
    coverage = scratch.settings.coverage if scratch.settings else COVERAGE
    if 0 < value < np.inf:
        of_curve = sizes(scratch.resampled, np.full(len(means), losses.mean()))
        of_mean = sizes(np.tile(scratch.parameters, (len(means), 1)), means)
        freedom = _freedom(scratch)
        raw = np.array([_variance(of_curve), _variance(of_mean)])
        stretch = scratch.widening / student_ratio(freedom, coverage)
        number = len(losses)
        wanted = raw * [stretch**2, number / max(number - 1, 1)]
        if wanted.sum() > 0:
            together = wanted.sum() ** 2 / (wanted**2 / [freedom, max(number - 1, 1)]).sum()
            widening = student_ratio(together, coverage) * np.sqrt(wanted.sum() / raw.sum())
            with np.errstate(divide="ignore"):
                found = value * np.exp(widening * (np.log(found) - np.log(value)))
    edges = 50 * (1 - coverage), 50 * (1 + coverage)
    least = np.percentile(found, edges[0], method="lower")  # inf cannot be interpolated
    most = np.percentile(found, edges[1], method="higher")
    return float(least), float(most)


def _freedom(scratch: Fit) -> int:
    """Of the curve's own interval, as ``raystudy.laws.bootstrap`` counts it."""
    runs = scratch.runs
    assert runs is not None
    if runs.units == "seeds":
        return len(np.unique(runs.unit)) - 1
    assert scratch.settings is not None
    problem = set_up(scratch.law, runs, scratch.settings.loss, scratch.settings.bounds)
    return len(np.unique(runs.unit)) - num_free(problem)


def _variance(sizes: Doubles) -> float:
    """Of logarithms, of those within reach."""
    known = sizes[(sizes > 0) & np.isfinite(sizes)]
    return float(np.var(np.log(known))) if len(known) > 1 else 0.0
