"""How far other examples and other seeds would move accuracy and calibration.

Rows of a split are drawn again, the same for every seed, and so are seeds. A calibration error is
larger in a resample than in the sample, as it is larger in the sample than in truth: so what counts
is how far a resample lies from what resampling draws from, not from the estimate (the basic
bootstrap; Davison and Hinkley 1997, section 5.2). That takes the debiased error: intervals of the
plain one hold the truth of a calibrated model half of the time.
Array shapes: N examples, S seeds, B resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raystudy.intervals import percentile_interval, seed_counts
from raystudy.kinds import Scored
from raystudy.metrics.bins import Gaps, width_bins
from raystudy.metrics.ece import BINS, cross_fitted
from raystudy.metrics.probabilities import Doubles, top
from raystudy.randomness import generator

NUM_RESAMPLES = 500
BLOCK = 1 << 14
"""Examples at a time."""


@dataclass(frozen=True)
class Spread:
    """A number, what it would be if the sample were all there is, and what it is in resamples."""

    value: float
    centre: float
    resampled: Doubles
    """(B,)"""

    def interval(self) -> tuple[float, float]:
        """95 %."""
        return percentile_interval(self.resampled - self.centre + self.value, self.value)


def mean(spreads: Sequence[Spread]) -> Spread:
    """Of numbers of several sets of examples."""
    return Spread(
        float(np.mean([s.value for s in spreads])),
        float(np.mean([s.centre for s in spreads])),
        np.mean([s.resampled for s in spreads], axis=0),
    )


def example_counts(num_examples: int, name: str) -> NDArray[np.uint8]:
    """How often each resample of a split draws each example, (B, N)."""
    draws = generator(0, "resample examples", name)
    counts = np.empty((NUM_RESAMPLES, num_examples), np.uint8)
    for row in counts:
        row[:] = np.bincount(draws.integers(num_examples, size=num_examples), minlength=len(row))
    return counts


def spreads(scored: Sequence[Scored], counts: NDArray[np.uint8]) -> Mapping[str, Spread]:
    """``accuracy`` and ``ece_debiased`` (in 15 bins of equal width), means of S seeds.

    ``scored`` (S,) are predictions of the same N examples, which all have a label; ``counts``
    (B, N) is of ``example_counts``. The values are those of the metrics of these names.
    """
    of_seed = [_of_seed(one, counts) for one in scored]
    # The same for all sets of examples, since a seed makes one backbone for all of them.
    draws = generator(0, "resample seeds", len(scored))
    times = seed_counts(draws, len(scored), NUM_RESAMPLES)
    found = {}
    for name in of_seed[0]:
        own = [of[name] for of in of_seed]
        resampled = np.stack([one.resampled for one in own], axis=1)
        whole = mean(own)
        found[name] = Spread(whole.value, whole.centre, (times * resampled).sum(1) / len(own))
    return found


def _of_seed(scored: Scored, counts: NDArray[np.uint8]) -> dict[str, Spread]:
    seen = scored.once(top)
    p, hit = seen.confidence, seen.hit.astype(np.float64)
    num, at = len(p), width_bins(seen.confidence, BINS)
    sums = np.zeros((len(counts) + 1, 1 + 2 * BINS))  # the first row is of the sample itself
    for first in range(0, num, BLOCK):
        rows = slice(first, first + BLOCK)
        bins = np.eye(BINS)[at[rows]]
        gap, variance = p[rows] - hit[rows], p[rows] * (1 - p[rows])
        columns = [hit[rows, None], bins * gap[:, None], bins * variance[:, None]]
        values = np.concatenate(columns, axis=1)
        sums[0] += values.sum(0)
        sums[1:] += counts[:, rows].astype(np.float64) @ values
    sums /= num
    accuracy, gaps = sums[:, 0], Gaps(sums[:, 1 : 1 + BINS], sums[:, 1 + BINS :] / num)
    error = cross_fitted(gaps).sum(1)
    plain = float(np.abs(gaps.difference[0]).sum())  # the truth, if the sample were all there is
    return {
        "accuracy": Spread(float(accuracy[0]), float(accuracy[0]), accuracy[1:]),
        "ece_debiased": Spread(float(error[0]), plain, error[1:]),
    }
