"""What seeds and examples say of a number: 95 % intervals, and resamples of seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raystudy.kinds import Integers
from raystudy.randomness import generator

COVERAGE = 0.95
POWER = 0.8


def mean_interval(values: ArrayLike, coverage: float = COVERAGE) -> tuple[float, float, float]:
    """The mean and its interval, of 95 %, from Student's t: (mean, low, high).

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

    t = stdtrit(len(values) - 1, (1 + coverage) / 2)
    half = float(t * values.std(ddof=1) / np.sqrt(len(values)))
    return mean, mean - half, mean + half


def detectable(
    low: float, high: float, freedom: float | None = None, coverage: float = COVERAGE
) -> float | None:
    """The smallest effect that a study whose interval is [``low``, ``high``] had a chance of 80 %
    to tell from none (two-sided, at 1 − ``coverage``): how small is too small for it.

    The standard error is what the interval implies: half its width over Student's quantile with
    ``freedom`` degrees of freedom; over the normal one if None. It matters little: the effect is
    1.43 half-widths without end of degrees, and 1.31 with two. None where the interval is open:
    then no effect was large enough.
    """
    half = (high - low) / 2
    if not np.isfinite(half):
        return None
    if freedom is None:
        from scipy.special import ndtri

        level = float(ndtri((1 + coverage) / 2))
        return half * (level + float(ndtri(POWER))) / level
    from scipy.special import nctdtrinc, stdtrit

    level = float(stdtrit(freedom, (1 + coverage) / 2))
    return half * float(nctdtrinc(freedom, 1 - POWER, level)) / level


def resample_seeds(
    num_seeds: int, num_resamples: int, seed: int
) -> tuple[NDArray[np.float64], Integers]:
    """Bootstrap resamples of ``num_seeds`` seeds, each distinct one once.

    Returns how often each seed is drawn, (B, S), rows summing to S; and how often each row came
    up, (B,), summing to ``num_resamples``. Few seeds have few distinct resamples (10 for 3, 126
    for 5), so fitting B rows instead of ``num_resamples`` saves most of the work.
    """
    draws = generator(seed, "resample seeds", num_seeds)
    counts = seed_counts(draws, num_seeds, num_resamples)
    rows, frequency = np.unique(counts, axis=0, return_counts=True)
    return rows.astype(np.float64), frequency


def percentile_coverage(num_seeds: int) -> float:
    """The most that a percentile interval over resampled seeds can cover of a centred estimate.

    No resample of a mean lies outside its seeds' range, and the truth does with probability
    2^(1−S): the range of 3 seeds covers 75 %, whatever the number of resamples.
    """
    return min(COVERAGE, 1 - 2.0 ** (1 - num_seeds))


def bootstrap_interval(
    statistics: Sequence[Callable[[Integers], float]],
    num_examples: int,
    *,
    num_resamples: int = 1000,
    seed: int = 0,
    centred: bool = False,
) -> tuple[float, float, float]:
    """Any number computed from examples, and its 95 % interval over examples and seeds:
    (value, low, high).

    ``statistics`` holds one function a seed, from row numbers (N,) to a number, as in
    ``lambda rows: metric.compute(logits[rows], labels[rows])``; the value is their mean over all
    rows. Each resample draws rows, the same for every seed, and seeds. Percentiles; ``centred``
    mirrors them about the value (the basic bootstrap), which is right where resampling itself moves
    the statistic, as it raises a calibration error. Resamples that yield nan are left out.
    """
    everything = np.arange(num_examples)
    value = float(np.mean([of(everything) for of in statistics]))
    draws = generator(seed, "bootstrap", num_examples)
    counts = seed_counts(draws, len(statistics), num_resamples)
    resampled = np.empty(num_resamples)
    for b in range(num_resamples):
        rows = draws.integers(num_examples, size=num_examples)
        resampled[b] = sum(c * statistics[s](rows) for s, c in enumerate(counts[b]) if c)
    return value, *percentile_interval(resampled / len(statistics), value if centred else None)


def seeds_and_examples_interval(
    values: ArrayLike, *, num_resamples: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """The mean of per-example ``values`` (S, N) of S seeds on the same N examples, and its 95 %
    interval from resampling both: (mean, low, high). Pass differences to compare two arms in pairs.

    Seeds and examples are drawn apart (the pigeonhole bootstrap of Owen 2007, which is somewhat too
    wide, never too narrow on average). Few seeds cover less: see ``percentile_coverage``; one says
    nothing of seeds, and its interval is of examples alone.

    Raises ValueError if there is no value, or one is not finite.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or not table.size or not np.isfinite(table).all():
        raise ValueError(f"finite values of (seeds, examples) are resampled; got {table.shape}")
    num_seeds, num_examples = table.shape
    draws = generator(seed, "bootstrap", num_examples)
    counts = seed_counts(draws, num_seeds, num_resamples)
    means = np.empty((num_resamples, num_seeds))
    for b in range(num_resamples):
        rows = draws.integers(num_examples, size=num_examples)
        means[b] = table @ np.bincount(rows, minlength=num_examples) / num_examples
    resampled = (counts * means).sum(1) / num_seeds
    return float(table.mean()), *percentile_interval(resampled)


def percentile_interval(
    resampled: NDArray[np.float64], centre: float | None = None
) -> tuple[float, float]:
    """95 %, of the resamples that are not nan; mirrored about ``centre`` if given. (−inf, inf) if
    there is none."""
    resampled = resampled[~np.isnan(resampled)]
    if not len(resampled):
        return -np.inf, np.inf
    low, high = np.percentile(resampled, [50 * (1 - COVERAGE), 50 * (1 + COVERAGE)])
    if centre is not None:
        low, high = 2 * centre - high, 2 * centre - low
    return float(low), float(high)


def seed_counts(draws: np.random.Generator, num_seeds: int, num_resamples: int) -> Integers:
    """How often each resample draws each seed, (B, S)."""
    return draws.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), size=num_resamples)
