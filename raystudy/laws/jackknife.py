"""What seeds say of a number that is computed from all of them: it is computed again without each.

Deviations of the values without one seed are, to first order, a seed's own share of the error over
S − 1 (Tukey 1958), whatever was fitted, inverted and fitted again on the way, and however what a
seed did in one place goes with what it did in another. So few seeds have few degrees of freedom,
and Student's quantile is that of S − 1.

Shapes: S seeds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from raystudy.intervals import COVERAGE
from raystudy.laws.arrays import Doubles


def without_each(num_seeds: int) -> Doubles:
    """How often each seed counts: once in the first row, and in row s + 1 all but seed s. One seed
    cannot be left out. (S + 1, S)"""
    every = np.ones((1, num_seeds))
    return np.vstack([every, 1 - np.eye(num_seeds)]) if num_seeds > 1 else every


def standard_error(left_out: ArrayLike) -> Doubles:
    """Of values (S, …) without each seed in turn: (…). nan after one seed."""
    values = np.asarray(left_out, dtype=np.float64)
    number = len(values)
    if number < 2:
        return np.full(values.shape[1:], np.nan)
    with np.errstate(invalid="ignore"):
        spread = np.square(values - values.mean(0)).sum(0)
    return np.sqrt((number - 1) / number * spread)


def student_interval(
    value: ArrayLike, left_out: ArrayLike, coverage: float = COVERAGE
) -> tuple[Doubles, Doubles]:
    """Student's interval about ``value`` (…) from ``left_out`` (S, …): (low, high).

    Open on a side where a value without one seed lies at that infinity, on both where one is nan,
    and after one seed.
    """
    from scipy.special import stdtrit  # here, so that importing raystudy stays fast

    centre, values = (np.asarray(v, dtype=np.float64) for v in (value, left_out))
    if len(values) < 2:
        nothing = np.full(centre.shape, np.inf)
        return -nothing, nothing
    known = np.where(np.isfinite(values), values, centre)
    half = stdtrit(len(values) - 1, (1 + coverage) / 2) * standard_error(known)
    unknown = np.isnan(values).any(0)
    low = np.where(unknown | np.isneginf(values).any(0), -np.inf, centre - half)
    high = np.where(unknown | np.isposinf(values).any(0), np.inf, centre + half)
    return low, high
