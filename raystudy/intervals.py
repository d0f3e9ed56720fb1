"""What runs repeated over seeds say of a number: 95 % intervals and resamples of seeds."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raystudy.kinds import Integers
from raystudy.randomness import generator

COVERAGE = 0.95


def mean_interval(values: ArrayLike) -> tuple[float, float, float]:
    """The mean and its 95 % interval from Student's t: (mean, low, high).

    ``values`` (S,) holds one number a seed; pass differences to compare two arms in pairs. One
    seed says nothing of its spread, so its interval is (−inf, inf).

    Raises ValueError if there is no value, or one is not finite.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"mean_interval needs one finite number a seed, got {values.tolist()}")
    mean = float(values.mean())
    if len(values) == 1:
        return mean, -np.inf, np.inf
    from scipy.special import stdtrit  # here, so that importing raystudy stays fast

    t = stdtrit(len(values) - 1, (1 + COVERAGE) / 2)
    half = float(t * values.std(ddof=1) / np.sqrt(len(values)))
    return mean, mean - half, mean + half


def resample_seeds(
    num_seeds: int, num_resamples: int, seed: int
) -> tuple[NDArray[np.float64], Integers]:
    """Bootstrap resamples of ``num_seeds`` seeds, each distinct one once.

    Returns how often each seed is drawn, (B, S), rows summing to S; and how often each row came
    up, (B,), summing to ``num_resamples``. Few seeds have few distinct resamples (10 for 3, 126
    for 5), so fitting B rows instead of ``num_resamples`` saves most of the work.
    """
    draws = generator(seed, "resample seeds", num_seeds)
    counts = draws.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), size=num_resamples)
    rows, frequency = np.unique(counts, axis=0, return_counts=True)
    return rows.astype(np.float64), frequency


def percentile_coverage(num_seeds: int) -> float:
    """The most that a percentile interval over resampled seeds can cover of a centred estimate.

    No resample of a mean lies outside its seeds' range, and the truth does with probability
    2^(1−S): the range of 3 seeds covers 75 %, whatever the number of resamples.
    """
    return min(COVERAGE, 1 - 2.0 ** (1 - num_seeds))
