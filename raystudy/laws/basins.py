"""Every minimum that many starts lead to, not only the lowest: several published optima are not the
lowest of their own objective.

Shapes: S starts, P parameters, N points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from raystudy.kinds import Law
from raystudy.laws.arrays import Doubles
from raystudy.laws.losses import Loss
from raystudy.laws.solver import Minima, Problem, minimise
from raystudy.laws.status import FitError
from raystudy.laws.table import Runs

NEAR = 3.841
"""Twice a log likelihood ratio (the 95 % point of χ² with 1 degree): basins within it are near."""
NUM_BETWEEN = 15
SLACK = 1e-7
"""Of the objective: what a search may leave undone."""


Bounds = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, eq=False)
class Basin:
    """A minimum: its parameters (P,), objective, whether its search converged, and how many starts
    led there. ``near``: it fits about as well as the best."""

    parameters: Doubles
    objective: float
    converged: bool
    num_starts: int
    near: bool


def set_up(
    law: Law, runs: Runs, loss: Loss, bounds: Bounds, weights: Doubles | None = None
) -> Problem:
    """The problem of fitting ``runs``; ``weights`` (R, M) default to one row of their own.

    ``bounds`` narrows the range of parameters by name; (a, a) fixes one. Raises FitError for
    parameters that the law has not, or ranges that are outside its own.
    """
    low, high = np.array(law.bounds, dtype=np.float64).T.copy()
    for name, (least, most) in bounds.items():
        if name not in law.parameters:
            raise FitError(f"{law.name} has no parameter '{name}'; it has {list(law.parameters)}")
        i = law.parameters.index(name)
        if not low[i] <= least <= most <= high[i]:
            asked = f"{least:g}" if least == most else f"[{least:g}, {most:g}]"
            raise FitError(f"{name} in {asked} is not within [{low[i]:g}, {high[i]:g}]")
        low[i], high[i] = least, most
    rows = runs.weights[None] if weights is None else weights
    return Problem(law, runs.x, runs.y, rows, loss, low, high)


def num_free(problem: Problem) -> int:
    """Parameters that are searched for."""
    return int((problem.low != problem.high).sum())


def explore(problem: Problem, starts: ArrayLike | None = None) -> tuple[Basin, ...]:
    """The minima of the first row of weights, best first. ``starts`` (S, P) are tried beside the
    law's own. Raises FitError where there is none.
    """
    tried = starting_points(problem, starts)
    found = minimise(problem, tried, np.zeros(len(tried), dtype=np.int64))
    alive = np.isfinite(found.objective)
    if not alive.any():
        raise FitError(
            f"{problem.law.name} has no value at the runs for any of {len(tried)} starts; give "
            "starts, or another law"
        )
    found = found.take(np.flatnonzero(alive))
    found = found.take(np.argsort(found.objective, kind="stable"))
    return _clustered(problem, found)


def refit(problem: Problem, starts: Doubles) -> Minima:
    """The best minimum of each row of weights (or of y) from all ``starts`` (S, P)."""
    num_rows = max(len(problem.weights), len(np.atleast_2d(problem.y)))
    rows = np.repeat(np.arange(num_rows), len(starts))
    found = minimise(problem, np.tile(starts, (num_rows, 1)), rows)
    best = found.objective.reshape(num_rows, -1).argmin(1)
    return found.take(np.arange(num_rows) * len(starts) + best)


def likelihood_ratio(problem: Problem, objective: ArrayLike, least: float) -> Doubles:
    """Twice the log likelihood that is lost against ``least``, the scale of the errors estimated
    from ``least``: of normal errors for least squares, of Laplace's for Huber's loss, which is
    mostly made of runs beyond its δ. A perfect fit leaves inf for anything else."""
    used = int((problem.weights[0] > 0).sum())
    freedom = max(used - num_free(problem), 1)
    factor = freedom if problem.loss.delta is None else 2 * freedom
    excess = np.asarray(objective, dtype=np.float64) - least
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = factor * excess / least
    return np.where(excess <= 1e-12 * least, 0.0, ratio)


def starting_points(problem: Problem, starts: ArrayLike | None) -> Doubles:
    """The law's own (S, P) and ``starts``, with fixed parameters as they are. Raises FitError."""
    own = problem.law.starts(problem.x, problem.y)
    parts = [] if own is None or not len(own) else [np.asarray(own, dtype=np.float64)]
    if starts is not None:
        parts.append(np.atleast_2d(np.asarray(starts, dtype=np.float64)))
    if not parts:
        raise FitError(f"{problem.law.name} has no starting points for these runs; give starts")
    tried = np.concatenate(parts)
    return np.where(problem.low == problem.high, problem.low, tried)


def _clustered(problem: Problem, found: Minima) -> tuple[Basin, ...]:
    """Minima, best first, with those put together that are one."""
    basins: list[Basin] = []
    least = float(found.objective[0])
    near = likelihood_ratio(problem, found.objective, least) <= NEAR
    for parameters, objective, converged, close in zip(
        found.parameters, found.objective, found.converged, near, strict=True
    ):
        for i, basin in enumerate(basins):
            if _same(problem, basin, parameters, float(objective)):
                basins[i] = replace(basin, num_starts=basin.num_starts + 1)
                break
        else:
            if converged or not basins:
                basins.append(Basin(parameters, float(objective), bool(converged), 1, bool(close)))
    return tuple(basins)


def _same(problem: Problem, basin: Basin, parameters: Doubles, objective: float) -> bool:
    """Whether two minima are one: they draw the same curve, as where parameters are not identified,
    or the objective does not rise on the straight way between them."""
    law, loss = problem.law, problem.loss
    is_log = np.array([name in law.logarithmic for name in law.parameters])
    ends = np.stack([basin.parameters, parameters])
    with np.errstate(all="ignore"):
        z = np.where(is_log, np.log(np.maximum(ends, 1e-300)), ends)
        share = np.linspace(0, 1, NUM_BETWEEN)[:, None]
        path = z[0] * (1 - share) + z[1] * share
        curves = law.predict(problem.x, np.where(is_log, np.exp(path), path))
        values = loss.forward(np.asarray(curves, dtype=np.float64))
        residuals = values - loss.forward(problem.y)
        along = (problem.weights[0] * loss.rho(residuals)).sum(1)
    apart = np.square(values[-1] - values[0]).mean()
    top = max(basin.objective, objective)
    if apart <= 1e-6 * np.square(residuals[0]).mean() and objective <= basin.objective * (1 + 1e-5):
        return True
    return bool(np.isfinite(along).all() and along.max() <= top * (1 + SLACK))
