"""The data multiplier: how many times its own size one arm's data is worth of another's.

Where arm B ends up with the error y_B at its largest size n_B, invert arm A's fitted curve for
the size n_A at which A has that error: a B-set of n_B equals an A-set of n_A, and A's data is
worth k = n_B / n_A times B's. Read inside A's measured sizes only; beyond them k is a bound.

The idea is the effective data transferred of Hernandez et al. (2021), read as a ratio.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike

from raystudy.intervals import COVERAGE, resample_seeds
from raystudy.kinds import Integers, Law
from raystudy.laws.bootstrap import student_ratio
from raystudy.laws.fit import (
    MIN_SIZES,
    Doubles,
    FitError,
    check_runs,
    distinct,
    run_weights,
    solve_weighted,
)
from raystudy.laws.inversion import invert

OUTWARDS = "lower", "higher"
Arm = tuple[ArrayLike, ArrayLike, ArrayLike]
"""Runs of one arm: sizes, errors and the seed of each, (M,) all three."""


class MultiplierStatus(Enum):
    MEASURED = "measured"
    """Both curves have this error within the measured sizes."""
    AT_LEAST = "at least"
    """A is better than that at its smallest size already: the multiplier exceeds ``value``."""
    NOT_REACHED = "not reached"
    """A is still worse at its largest size: the multiplier falls short of ``value``."""


@dataclass(frozen=True)
class Multiplier:
    """A's data is worth ``value`` times B's, with a 95 % interval.

    ``low`` is 0 where some resamples leave A short of B's error, ``high`` is inf where some put A
    past it from the start, and both after one seed. Percentiles of resampled seeds, stretched for
    how few these are (``raystudy.laws.bootstrap``): as they are, 3 seeds cover 75 % and 8 cover
    86 % of synthetic studies.
    """

    value: float
    low: float
    high: float
    status: MultiplierStatus

    @property
    def text(self) -> str:
        """As "×3.1 (2.2 … 4.8)", "> ×16" or "not reached"; an interval follows the latter two
        where resamples disagree with them."""
        interval = f" ({_plain(self.low)} … {_plain(self.high)})"
        if self.status is MultiplierStatus.MEASURED:
            return f"×{_plain(self.value)}{interval}"
        if self.status is MultiplierStatus.AT_LEAST:
            return f"> ×{_plain(self.value)}" + (interval if self.low < self.value else "")
        return "not reached" + (interval if self.high > self.value else "")


def data_multiplier(
    law: Law,
    a: Arm,
    b: Arm,
    *,
    num_resamples: int = 1000,
    seed: int = 0,
    coverage: float = COVERAGE,
) -> Multiplier:
    """How many times its size arm ``a``'s data is worth of arm ``b``'s, the worse one.

    The error asked of A is B's own curve at its largest size (so an arm is worth once itself), or
    B's mean there if it has fewer than 3 sizes. Both arms are resampled by the same draws of
    seeds, so what a seed does to both cancels; a draw that leaves a curve fewer than 3 sizes is
    left out. ``coverage`` of the interval.

    Raises FitError as ``fit_law`` does for ``a``, and unless both arms have the same seeds.
    """
    x_a, y_a, seeds_a = check_runs(*a)
    x_b, y_b, seeds_b = check_runs(*b, min_sizes=1)
    size_b, b_is_fitted = x_b.max(), len(np.unique(x_b)) >= MIN_SIZES
    if not b_is_fitted:
        last = x_b == size_b
        x_b, y_b, seeds_b = x_b[last], y_b[last], seeds_b[last]
    names = _paired(seeds_a, seeds_b)

    drawn, times = resample_seeds(len(names), num_resamples, seed)
    counts = np.vstack([np.ones((1, len(names))), drawn])  # the first row is every run once
    weights_a, weights_b = run_weights(counts, names, seeds_a), run_weights(counts, names, seeds_b)
    kept = distinct(x_a, weights_a) >= MIN_SIZES
    if b_is_fitted:
        kept &= distinct(x_b, weights_b) >= MIN_SIZES
        curves_b = solve_weighted(law, x_b, y_b, weights_b[kept])
        targets = np.asarray(law.predict(np.array([size_b]), curves_b)[:, 0], dtype=np.float64)
    else:
        targets = weights_b[kept] @ y_b / weights_b[kept].sum(1)
    curves_a = solve_weighted(law, x_a, y_a, weights_a[kept])
    sizes = invert(law, curves_a, targets, x_a.min(), x_a.max())

    with np.errstate(divide="ignore"):
        ratios = size_b / sizes
    frequency = np.append(0, times)[kept]
    least, most = float(size_b / x_a.max()), float(size_b / x_a.min())
    low, high = _interval(ratios, frequency, len(names), coverage)
    low, high = min(low, most), max(high, least)
    if np.isinf(ratios[0]):
        return Multiplier(most, low, high, MultiplierStatus.AT_LEAST)
    if ratios[0] == 0:
        return Multiplier(least, low, high, MultiplierStatus.NOT_REACHED)
    return Multiplier(float(ratios[0]), low, high, MultiplierStatus.MEASURED)


def _paired(seeds_a: Integers, seeds_b: Integers) -> Integers:
    names, others = np.unique(seeds_a), np.unique(seeds_b)
    if not np.array_equal(names, others):
        raise FitError(
            f"the arms are not paired: a has seeds {names.tolist()}, b has {others.tolist()}; "
            "give the runs of the seeds they share"
        )
    return names


def _interval(
    ratios: Doubles, frequency: Integers, num_seeds: int, coverage: float
) -> tuple[float, float]:
    """Percentiles, rounded outwards to ratios that occurred, for inf cannot be interpolated; their
    logarithms stretched about that of the first, the estimate, for how few seeds there are."""
    every = np.repeat(ratios, frequency)
    if not len(every) or num_seeds < 2:
        return 0.0, np.inf
    edges = 50 * (1 - coverage), 50 * (1 + coverage)
    ends = [np.percentile(every, e, method=m) for e, m in zip(edges, OUTWARDS, strict=True)]
    if 0 < ratios[0] < np.inf:
        stretch = np.sqrt(num_seeds / (num_seeds - 1)) * student_ratio(num_seeds - 1, coverage)
        with np.errstate(divide="ignore"):
            ends = ratios[0] * np.exp(stretch * np.log(np.array(ends) / ratios[0]))
    return float(ends[0]), float(ends[1])


def _plain(value: float) -> str:
    if np.isinf(value):
        return "∞"
    return f"{value:.0f}" if value >= 9.95 else f"{value:.2g}"
