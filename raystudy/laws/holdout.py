"""A law is for what lies beyond its runs, so it is judged there: without the largest sizes, and
size by size from the smallest on. Errors are root mean squares of log predicted − log observed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from raystudy.kinds import Law
from raystudy.laws.arrays import Doubles
from raystudy.laws.basins import num_free, set_up, starting_points
from raystudy.laws.fitted import Settings
from raystudy.laws.solver import minimise
from raystudy.laws.status import FitError
from raystudy.laws.table import Runs


@dataclass(frozen=True, eq=False)
class Holdout:
    """Runs with the input ``by`` beyond ``cutoff``, (M,) each, and what a fit to the others says of
    them; ``rmse_log`` over both, and over the ``num_fitted`` others themselves."""

    by: str
    cutoff: float
    x: Doubles
    observed: Doubles
    predicted: Doubles
    rmse_log: float
    rmse_log_fitted: float
    num_fitted: int
    parameters: Doubles


@dataclass(frozen=True, eq=False)
class RollingOrigin:
    """One hold-out for each origin: fitted up to ``cutoffs``, asked for the next size alone."""

    by: str
    cutoffs: Doubles
    rmse_log: Doubles
    """Of the runs at the next size, for each cutoff."""

    @property
    def overall(self) -> float:
        """Root mean square over the origins."""
        return float(np.sqrt(np.mean(np.square(self.rmse_log))))


def hold_out(
    law: Law, runs: Runs, settings: Settings, fraction: float = 0.5, by: str | None = None
) -> Holdout:
    """Fit the runs up to ``fraction`` of the largest ``by``; predict the others.

    Raises FitError where fewer distinct x than parameters are left, or no run is held out.
    """
    name, size = _size(law, runs, by)
    cutoff = float(size.max() * fraction)
    seen = size <= cutoff
    if seen.all():
        raise FitError(f"no run has {name} beyond {cutoff:g}")
    free, points = _free(law, runs, settings), len(np.unique(runs.x[seen], axis=0))
    if points <= free:
        raise FitError(
            f"{points} distinct x are left up to {name} = {cutoff:g}: too few for the {free} "
            f"parameters of {law.name}"
        )
    parameters = _fitted(law, runs, settings, seen[None])[0]
    predicted = np.asarray(law.predict(runs.x, parameters), dtype=np.float64)
    return Holdout(
        name,
        cutoff,
        runs.x[~seen],
        runs.y[~seen],
        predicted[~seen],
        rmse_log(predicted[~seen], runs.y[~seen]),
        rmse_log(predicted[seen], runs.y[seen]),
        int(seen.sum()),
        parameters,
    )


def roll(law: Law, runs: Runs, settings: Settings, by: str | None = None) -> RollingOrigin:
    """Raises FitError where the runs have too few sizes for a single origin."""
    name, size = _size(law, runs, by)
    sizes, free = np.unique(size), _free(law, runs, settings)
    enough = [
        cutoff for cutoff in sizes[:-1] if len(np.unique(runs.x[size <= cutoff], axis=0)) > free
    ]
    if not enough:
        raise FitError(f"{len(sizes)} values of {name} leave no origin from which to predict")
    cutoffs = np.array(enough)
    parameters = _fitted(law, runs, settings, size <= cutoffs[:, None])
    predicted = np.asarray(law.predict(runs.x, parameters), dtype=np.float64)
    following = sizes[np.searchsorted(sizes, cutoffs) + 1]
    asked = size == following[:, None]
    errors = [rmse_log(f[rows], runs.y[rows]) for f, rows in zip(predicted, asked, strict=True)]
    return RollingOrigin(name, cutoffs, np.array(errors))


def rmse_log(predicted: ArrayLike, observed: ArrayLike) -> float:
    """inf where a prediction is not positive."""
    predicted, observed = (np.asarray(v, dtype=np.float64) for v in (predicted, observed))
    if not ((predicted > 0).all() and (observed > 0).all()):
        return float("inf")
    return float(np.sqrt(np.mean(np.square(np.log(predicted) - np.log(observed)))))


def _fitted(law: Law, runs: Runs, settings: Settings, seen: np.ndarray) -> Doubles:
    """The best fit to the runs of each row of ``seen`` (R, M), together: (R, P). Where to start
    from is told by those runs alone."""
    problem = set_up(law, runs, settings.loss, settings.bounds, seen * runs.weights)
    tried = [
        starting_points(replace(problem, x=runs.x[rows], y=runs.y[rows]), settings.starts)
        for rows in seen
    ]
    owner = np.repeat(np.arange(len(seen)), [len(starts) for starts in tried])
    found = minimise(problem, np.concatenate(tried), owner)
    of_each = (np.flatnonzero(owner == i) for i in range(len(seen)))
    best = [rows[found.objective[rows].argmin()] for rows in of_each]
    if not np.isfinite(found.objective[best]).all():
        raise FitError(f"{law.name} has no value at the runs for any start")
    return found.parameters[best]


def _free(law: Law, runs: Runs, settings: Settings) -> int:
    return num_free(set_up(law, runs, settings.loss, settings.bounds))


def _size(law: Law, runs: Runs, by: str | None) -> tuple[str, Doubles]:
    name = by or law.inputs[0]
    if name not in law.inputs:
        raise FitError(f"{law.name} has no input '{name}'; it has {list(law.inputs)}")
    return name, runs.input(law.inputs.index(name))
