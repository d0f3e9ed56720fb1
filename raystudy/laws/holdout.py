"""A law is for what lies beyond its runs, so it is judged there: without the largest sizes, and
size by size from the smallest on. Errors are root mean squares of log predicted − log observed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raystudy.kinds import Law
from raystudy.laws.arrays import Doubles
from raystudy.laws.basins import num_free, set_up, solve
from raystudy.laws.fitted import Settings
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
    return _judge(law, runs, settings, name, cutoff, size <= cutoff, size > cutoff)


def roll(law: Law, runs: Runs, settings: Settings, by: str | None = None) -> RollingOrigin:
    """Raises FitError where the runs have too few sizes for a single origin."""
    name, size = _size(law, runs, by)
    sizes, cutoffs, errors = np.unique(size), [], []
    for cutoff, following in zip(sizes[:-1], sizes[1:], strict=True):
        try:
            found = _judge(
                law, runs, settings, name, float(cutoff), size <= cutoff, size == following
            )
        except FitError:
            continue  # too few sizes yet
        cutoffs.append(cutoff)
        errors.append(found.rmse_log)
    if not cutoffs:
        raise FitError(f"{len(sizes)} values of {name} leave no origin from which to predict")
    return RollingOrigin(name, np.array(cutoffs), np.array(errors))


def rmse_log(predicted: Doubles, observed: Doubles) -> float:
    """inf where a prediction is not positive."""
    if not ((predicted > 0).all() and (observed > 0).all()):
        return float("inf")
    return float(np.sqrt(np.mean(np.square(np.log(predicted) - np.log(observed)))))


def _judge(law, runs: Runs, settings: Settings, by, cutoff, seen, asked) -> Holdout:
    if not asked.any():
        raise FitError(f"no run has {by} beyond {cutoff:g}")
    train, test = runs.take(seen), runs.take(asked)
    problem = set_up(law, train, settings.loss, settings.bounds)
    free, points = num_free(problem), len(np.unique(train.x, axis=0))
    if points <= free:
        raise FitError(
            f"{points} distinct x are left up to {by} = {cutoff:g}: too few for the {free} "
            f"parameters of {law.name}"
        )
    parameters = solve(problem, settings.starts)
    predicted = np.asarray(law.predict(test.x, parameters), dtype=np.float64)
    fitted = np.asarray(law.predict(train.x, parameters), dtype=np.float64)
    return Holdout(
        by,
        cutoff,
        test.x,
        test.y,
        predicted,
        rmse_log(predicted, test.y),
        rmse_log(fitted, train.y),
        len(train),
        parameters,
    )


def _size(law: Law, runs: Runs, by: str | None) -> tuple[str, Doubles]:
    name = by or law.inputs[0]
    if name not in law.inputs:
        raise FitError(f"{law.name} has no input '{name}'; it has {list(law.inputs)}")
    return name, runs.input(law.inputs.index(name))
