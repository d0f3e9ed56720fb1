"""Profile likelihood: how well the runs can be fitted with one parameter held at each value.

A parameter is identified where the profile rises on both sides beyond what chance explains; its
interval is where it does not (Raue et al. 2009). Shapes: G values, P parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from raystudy.laws.arrays import Doubles
from raystudy.laws.basins import Basin, likelihood_ratio
from raystudy.laws.solver import Problem, minimise

SPANS = 4.0
"""How many standard errors, or e-folds of a logarithmic parameter, are looked at either side."""


@dataclass(frozen=True, eq=False)
class Profile:
    """Of one parameter: ``values`` (G,), the least objective at each, the likelihood ratio (twice
    the log likelihood lost), and the interval (low, high) within its ``threshold``: infinite, or at
    the bound, on a side where the profile does not rise as far as was looked."""

    parameter: str
    values: Doubles
    objective: Doubles
    ratio: Doubles
    threshold: float
    low: float
    high: float
    identified: bool


def profile(
    problem: Problem,
    basins: tuple[Basin, ...],
    name: str,
    values: ArrayLike | None,
    num_values: int,
    error: float,
    coverage: float,
) -> Profile:
    """The profile of ``name`` over ``values``, by default about the best fit: ``error`` is the
    parameter's standard error, on the scale on which it is searched."""
    from scipy.special import ndtri

    law = problem.law
    i = law.parameters.index(name)
    best, is_log = basins[0], name in law.logarithmic
    at = float(best.parameters[i])
    bounds = float(problem.low[i]), float(problem.high[i])
    if values is None:
        values = _around(at, error, bounds, is_log, num_values)
    tried = np.unique(np.append(np.asarray(values, dtype=np.float64), at))
    near = np.stack([basin.parameters for basin in basins if basin.near])
    starts = np.repeat(near[None], len(tried), axis=0)
    starts[:, :, i] = tried[:, None]
    objective = _least(problem, starts, i, tried)
    for direction in (1, -1):  # each value starts from where its neighbour ended, both ways
        objective, starts = _swept(problem, objective, starts, i, tried, direction)
    ratio = likelihood_ratio(problem, objective.min(1), min(best.objective, objective.min()))
    threshold = float(ndtri((1 + coverage) / 2) ** 2)
    low, high = _crossings(tried, ratio, threshold, is_log)
    identified = bool(np.isfinite(low) and np.isfinite(high))
    low = low if np.isfinite(low) else (bounds[0] if tried[0] <= bounds[0] else -np.inf)
    high = high if np.isfinite(high) else (bounds[1] if tried[-1] >= bounds[1] else np.inf)
    return Profile(name, tried, objective.min(1), ratio, threshold, low, high, identified)


def _around(
    at: float, error: float, bounds: tuple[float, float], is_log: bool, num_values: int
) -> Doubles:
    reach = min(SPANS * error, 12.0) if is_log else SPANS * error
    if not np.isfinite(reach) or reach <= 0:
        reach = 12.0 if is_log else max(abs(at), 1.0)
    grid = np.linspace(-reach, reach, num_values)
    values = at * np.exp(grid) if is_log else at + grid
    return np.unique(np.clip(values, *bounds))


def _least(problem: Problem, starts: Doubles, i: int, tried: Doubles) -> Doubles:
    """Where each start (G, S, P) ends with parameter ``i`` held, written into it; objectives."""
    num_values, num_starts, num_parameters = starts.shape
    held = np.repeat(tried, num_starts)
    low = np.tile(problem.low, (len(held), 1))
    high = np.tile(problem.high, (len(held), 1))
    low[:, i] = high[:, i] = held
    bounded = replace(problem, low=low, high=high)
    rows = np.zeros(len(held), dtype=np.int64)
    found = minimise(bounded, starts.reshape(-1, num_parameters), rows)
    starts[:] = found.parameters.reshape(starts.shape)
    return found.objective.reshape(num_values, num_starts)


def _swept(problem, objective, starts, i, tried, direction) -> tuple[Doubles, Doubles]:
    best = starts[np.arange(len(tried)), objective.argmin(1)]
    moved = np.roll(best, direction, axis=0)[:, None].copy()
    moved[:, :, i] = tried[:, None]
    again = _least(problem, moved, i, tried)
    return np.hstack([objective, again]), np.concatenate([starts, moved], axis=1)


def _crossings(
    values: Doubles, ratio: Doubles, threshold: float, is_log: bool
) -> tuple[float, float]:
    """The outermost values at which the ratio crosses the threshold, or −inf and inf."""
    at = np.log(values) if is_log else values
    inside = np.flatnonzero(ratio <= threshold)

    def meets(a: int, b: int) -> float:
        share = (threshold - ratio[a]) / (ratio[b] - ratio[a]) if np.isfinite(ratio[b]) else 0.0
        found = at[a] + share * (at[b] - at[a])
        return float(np.exp(found) if is_log else found)

    first, last = int(inside[0]), int(inside[-1])
    low = meets(first, first - 1) if first > 0 else -np.inf
    high = meets(last, last + 1) if last < len(values) - 1 else np.inf
    return low, high
