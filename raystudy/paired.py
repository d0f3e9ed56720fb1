"""Two models on the same examples: how far apart, how surely, and how little could have been seen.

What both find hard cancels, so that a pair tells smaller differences than two separate intervals.
For several seeds of each model see ``raystudy.intervals.seeds_and_examples_interval`` of the
differences. Array shapes: N examples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from raystudy.intervals import COVERAGE, POWER, mean_interval


@dataclass(frozen=True)
class Comparison:
    """Mean of a − b over examples, in [``low``, ``high``] with 95 %."""

    difference: float
    low: float
    high: float
    p_value: float
    """Two-sided, of no difference."""
    minimum_detectable: float
    """The difference that as many examples, of which as many differ, would show at the 5 % level
    with 80 % power."""
    num_examples: int


def compare(a: ArrayLike, b: ArrayLike) -> Comparison:
    """Per-example values (N,) of two models, such as losses or Brier scores: paired Student's t.

    Raises ValueError for lengths that differ, values that are not finite, or fewer than 2.
    """
    x, y = _checked(a, b)
    differences = x - y
    mean, low, high = mean_interval(differences)
    error = float(differences.std(ddof=1)) / len(differences) ** 0.5
    return Comparison(mean, low, high, _t_test(mean, error, len(x)), _factor() * error, len(x))


def compare_hits(a: ArrayLike, b: ArrayLike) -> Comparison:
    """Which predictions of two models are right, (N,) booleans: the difference of accuracy.

    The p-value is McNemar's, exact. The interval adds one example to each kind of disagreement
    (Bonett and Price 2012), so that it covers where these are few, or none; it holds the
    difference, but is not centred on it. Raises ValueError as ``compare`` does.
    """
    x, y = _checked(a, b)
    if not (np.isin(x, (0, 1)).all() and np.isin(y, (0, 1)).all()):
        raise ValueError("hits are 0 or 1, one an example; compare() takes other values")
    only_a, only_b, n = int((x > y).sum()), int((x < y).sum()), len(x)
    share_a, share_b = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    centre = share_a - share_b
    error = ((share_a + share_b - centre**2) / (n + 2)) ** 0.5
    half = _normal((1 + COVERAGE) / 2) * error
    return Comparison(
        (only_a - only_b) / n,
        max(-1.0, centre - half),
        min(1.0, centre + half),
        mcnemar(only_a, only_b),
        _factor() * ((share_a + share_b) / n) ** 0.5,
        n,
    )


def mcnemar(only_a: int, only_b: int) -> float:
    """The exact two-sided p-value that two models are right equally often, from the numbers of
    examples that one alone gets right (McNemar 1947): a fair coin's."""
    from scipy.special import bdtr

    total = only_a + only_b
    return min(1.0, 2 * float(bdtr(min(only_a, only_b), total, 0.5))) if total else 1.0


def _checked(a: ArrayLike, b: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    x, y = (np.asarray(v, dtype=np.float64) for v in (a, b))
    if x.ndim != 1 or x.shape != y.shape or len(x) < 2:
        raise ValueError(f"both models need values of the same N ≥ 2 examples: {x.shape} {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("values must be finite to be compared")
    return x, y


def _t_test(mean: float, error: float, n: int) -> float:
    from scipy.special import stdtr

    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return 2 * float(stdtr(n - 1, -abs(mean) / error))


def _factor() -> float:
    """Standard errors that a difference must have to be seen with ``POWER``."""
    return _normal((1 + COVERAGE) / 2) + _normal(POWER)


def _normal(probability: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(probability))
