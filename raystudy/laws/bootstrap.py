"""Resamples of a fit: of seeds or runs that are drawn again together, or of residuals.

Percentiles of few units are too narrow, for two known reasons: a resample of S units has (S − 1)/S
of their variance, and a variance of few units is itself in doubt. ``widening`` undoes both to first
order: √(S/(S − 1)) for the one, Student's quantile over the normal one for the other.

Shapes: R resamples, M runs, P parameters, U units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from raystudy.intervals import resample_seeds
from raystudy.laws.arrays import Doubles, columns
from raystudy.laws.basins import Basin, num_free, refit
from raystudy.laws.diagnostics import leverage
from raystudy.laws.solver import Minima, Problem
from raystudy.laws.table import Runs
from raystudy.randomness import generator

MAX_STARTS = 3


@dataclass(frozen=True, eq=False)
class Resamples:
    """Parameters of each resample (R, P); what stretches their spread; what went amiss."""

    parameters: Doubles
    widening: float
    reasons: tuple[str, ...]


def resample(
    problem: Problem,
    runs: Runs,
    basins: tuple[Basin, ...],
    num_resamples: int,
    seed: int,
    coverage: float,
) -> Resamples:
    """Refit resamples from the best basins of the whole."""
    starts = np.stack([basin.parameters for basin in basins if basin.near][:MAX_STARTS])
    num_units = len(np.unique(runs.unit))
    free = num_free(problem)
    freedom = num_units - (1 if runs.units == "seeds" else free)
    if not num_resamples or freedom < 1:
        what = "one seed gives no interval; run more seeds"
        if runs.units != "seeds":
            what = f"{num_units} runs for {free} parameters leave nothing to tell an interval from"
        return Resamples(np.empty((0, starts.shape[1])), 1.0, (what,) if num_resamples else ())
    if runs.units == "residuals":
        found, reasons = _of_residuals(problem, starts, num_resamples, seed)
        stretch = 1.0  # residuals are scaled up instead
    else:
        found, reasons = _of_units(problem, runs, starts, num_resamples, seed)
        stretch = float(np.sqrt(num_units / (num_units - 1)))
    whole = found.converged & np.isfinite(found.objective)
    if not whole.all():
        reasons.append(f"{1 - whole.mean():.1%} of resamples did not converge and are left out")
    parameters = found.parameters[whole]
    return Resamples(parameters, stretch * student_ratio(freedom, coverage), tuple(reasons))


def student_ratio(freedom: float, coverage: float) -> float:
    """Student's quantile over the normal one."""
    from scipy.special import ndtri, stdtrit  # here, so that importing raystudy stays fast

    level = (1 + coverage) / 2
    return float(stdtrit(freedom, level) / ndtri(level))


def _of_residuals(
    problem: Problem, starts: Doubles, num_resamples: int, seed: int
) -> tuple[Minima, list[str]]:
    """Residuals on the scale of the loss, each scaled by what its own run hides of it, drawn anew
    for every run: the design stays as it is, which few runs could not bear to lose."""
    loss, weights = problem.loss, problem.weights[0]
    curve = loss.forward(np.asarray(problem.law.predict(problem.x, starts[0]), dtype=np.float64))
    root = np.sqrt(np.where(weights > 0, weights, 1.0))
    residual = (loss.forward(problem.y) - curve) * root
    residual = residual / np.sqrt(1 - np.minimum(leverage(problem, starts[0]), 0.95))
    used = np.flatnonzero(weights > 0)
    residual = residual - residual[used].mean() * (problem.loss.above == 1)
    draws = generator(seed, "resample residuals", len(residual))
    drawn = draws.choice(residual[used], size=(num_resamples, len(residual))) / root
    values = loss.backward(curve + drawn)
    return refit(replace(problem, y=values), starts), []


def _of_units(
    problem: Problem, runs: Runs, starts: Doubles, num_resamples: int, seed: int
) -> tuple[Minima, list[str]]:
    num_units = int(runs.unit.max()) + 1
    counts, frequency = resample_seeds(num_units, num_resamples, seed)
    weights = counts[:, runs.unit] * runs.weights
    kept = distinct(runs.x, weights) >= num_free(problem)
    reasons = []
    if not kept.all():
        share = 1 - frequency[kept].sum() / num_resamples
        reasons.append(
            f"{share:.0%} of resamples keep fewer distinct x than parameters and are left out; "
            "run every seed at every size"
        )
    found = refit(replace(problem, weights=weights[kept]), starts) if kept.any() else _none(starts)
    return found.take(np.repeat(np.arange(kept.sum()), frequency[kept])), reasons


def distinct(x: Doubles, weights: Doubles) -> np.ndarray:
    """How many distinct rows of x (M,) or (M, K) each row of weights (R, M) keeps: (R,)."""
    points = np.stack(columns(x), axis=1)
    _, at = np.unique(points, axis=0, return_inverse=True)
    member = np.eye(at.max() + 1)[at.ravel()]
    return ((weights > 0) @ member > 0).sum(1)


def _none(starts: Doubles) -> Minima:
    return Minima(np.empty((0, starts.shape[1])), np.empty(0), np.empty(0, dtype=bool))
