"""p-values of many comparisons, adjusted so that one in a grid is read as it would be alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Doubles = NDArray[np.float64]


def holm(p_values: ArrayLike) -> Doubles:
    """Adjusted p-values (K,): those at most α are false, if all of no effect, in one grid of 1/α at
    most, whatever their dependence (Holm 1979). Raises ValueError for one outside [0, 1]."""
    p, order = _sorted(p_values)
    steps = np.arange(len(p), 0, -1) * p
    return _restored(np.maximum.accumulate(steps), order)


def benjamini_hochberg(p_values: ArrayLike) -> Doubles:
    """Adjusted p-values (K,): of those at most α, a share of α is false on average, for tests that
    are independent or positively dependent (Benjamini and Hochberg 1995). Raises ValueError
    likewise."""
    p, order = _sorted(p_values)
    steps = p * len(p) / np.arange(1, len(p) + 1)
    return _restored(np.minimum.accumulate(steps[::-1])[::-1], order)


def _sorted(p_values: ArrayLike) -> tuple[Doubles, NDArray[np.intp]]:
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p-values lie in [0, 1], one a comparison; got {p.tolist()}")
    order = np.argsort(p)
    return p[order], order


def _restored(adjusted: Doubles, order: NDArray[np.intp]) -> Doubles:
    result = np.empty_like(adjusted)
    result[order] = np.minimum(adjusted, 1)
    return result
