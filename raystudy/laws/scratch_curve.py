"""Loss against data from scratch, of models of one size: the curve on which transfer is read.

Shapes: M runs, S seeds, P parameters, B curves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raystudy.intervals import COVERAGE
from raystudy.kinds import Integers, Law
from raystudy.laws.arrays import Doubles
from raystudy.laws.basins import explore, num_free, refit, set_up
from raystudy.laws.bounded_power import BoundedPower
from raystudy.laws.fit import LEAST_P_VALUE, fit_runs
from raystudy.laws.fitted import Fit, Settings
from raystudy.laws.inversion import invert
from raystudy.laws.jackknife import student_interval
from raystudy.laws.losses import Loss
from raystudy.laws.power import OffsetPower
from raystudy.laws.status import FitError, FitStatus
from raystudy.laws.table import Runs, read
from raystudy.laws.transferred import saturating_size

FORMS: tuple[Law, ...] = (OffsetPower(E_max=1e6, alpha_max=10.0), BoundedPower())
"""Losses fall to a floor; where few examples leave a classifier at chance, from a level too."""
LOSS = Loss("log")
"""Seeds scatter by about the same share of the loss at every size."""
MAX_STARTS = 3
REACH = 10.0
"""How far beyond the measured sizes the curves of resamples are followed, as a factor."""


@dataclass(frozen=True, eq=False)
class ScratchCurve:
    """``fit`` of all runs, and ``left_out`` (S, P): its parameters without each seed in turn, which
    is to say with ``weights`` (S, M)."""

    fit: Fit
    left_out: Doubles
    weights: Doubles

    @cached_property
    def checked(self) -> Fit:
        """The same fit with its status, and the reasons for it."""
        assert self.fit.settings is not None
        return fit_runs(self.fit.law, self._runs, self.fit.settings)

    @property
    def sizes(self) -> Doubles:
        """That were run, ascending."""
        return np.unique(self._runs.x)

    @cached_property
    def means(self) -> Doubles:
        """Over seeds, of the logarithms of the losses at ``sizes``; as losses."""
        return np.exp(self._log_means(np.ones(len(self._runs))))

    @cached_property
    def D_N(self) -> float | None:
        """The data that brings these models to 99 % of their best; None if no end is in sight."""
        return saturating_size(self.fit)

    @property
    def misfit(self) -> float:
        """Root mean square of the logarithms of means over curve."""
        curve = self.fit.law.predict(self.sizes, self.fit.parameters)
        return float(np.sqrt(np.mean(np.log(self.means / np.asarray(curve)) ** 2)))

    def size_at(self, loss: float) -> float:
        """Where the curve has ``loss``: 0 below the smallest size that was run, inf beyond the
        largest."""
        ends = float(self.sizes[0]), float(self.sizes[-1])
        return float(invert(self.fit.law, self.fit.parameters[None], np.array([loss]), *ends)[0])

    def sizes_without(self, losses: Doubles) -> Doubles:
        """Where the curve without each seed has ``losses`` (S,), followed ``REACH`` times further
        on either side, so that an interval need not end where the runs do. (S,)"""
        ends = float(self.sizes[0]) / REACH, float(self.sizes[-1]) * REACH
        found = np.full(len(losses), np.nan)
        known = np.isfinite(losses)
        if known.any():
            found[known] = invert(self.fit.law, self.left_out[known], losses[known], *ends)
        return found

    def interpolated(self, loss: float, weights: Doubles | None = None) -> float:
        """Where straight lines between the means on logarithmic scales first have ``loss``: what
        is read without any form. nan outside the means. ``weights`` (M,) count the runs."""
        means = np.log(self.means) if weights is None else self._log_means(weights)
        known = np.isfinite(means)
        x = np.log(self.sizes[known])
        y = np.minimum.accumulate(means[known])  # noise may lift a mean above the one before
        target = np.log(loss)
        if not len(y) or not y[-1] <= target <= y[0]:
            return float("nan")
        after = max(int(np.argmax(y <= target)), 1)
        fall = y[after - 1] - y[after]
        share = (y[after - 1] - target) / fall if fall > 0 else 1.0
        return float(np.exp(x[after - 1] + share * (x[after] - x[after - 1])))

    def interpolated_without(self, losses: Doubles) -> Doubles:
        """The same without each seed, for ``losses`` (S,). (S,)"""
        rows = zip(losses, self.weights, strict=True)
        return np.array([self.interpolated(float(loss), own) for loss, own in rows])

    def band(self, x: Doubles, coverage: float = COVERAGE) -> tuple[Doubles, Doubles, Doubles]:
        """The curve at ``x`` (N,) with its interval over seeds: (y, low, high)."""
        y = np.asarray(self.fit.law.predict(x, self.fit.parameters), dtype=np.float64)
        without = np.asarray(self.fit.law.predict(x, self.left_out), dtype=np.float64)
        low, high = student_interval(np.log(y), np.log(without), coverage)
        return y, np.exp(low), np.exp(high)

    @property
    def _runs(self) -> Runs:
        assert self.fit.runs is not None
        return self.fit.runs

    def _log_means(self, weights: Doubles) -> Doubles:
        """At ``sizes``; nan where no run is left."""
        at = np.searchsorted(self.sizes, self._runs.x)
        total = np.bincount(at, weights)
        with np.errstate(invalid="ignore"):
            return np.bincount(at, weights * np.log(self._runs.y)) / total


def scratch_curves(
    x: Doubles,
    N: Doubles,
    loss: Doubles,
    seed: Integers,
    counts: Doubles,
    forms: Sequence[Law] = FORMS,
) -> dict[float, ScratchCurve]:
    """A curve for each model size of ``N`` (M,), from ``loss`` (M,) on ``x`` (M,) examples by
    ``seed`` (M,), an index into the columns of ``counts``: (S + 1, S), or (1, S), as
    ``raystudy.laws.jackknife.without_each`` gives them.

    All have the same form: the first of ``forms`` from which means lie no further than the scatter
    of seeds explains, or else the best by Schwarz's criterion. Raises FitError, naming
    the model size, where none can be fitted.
    """
    tried: list[tuple[float, dict[float, Fit]]] = []
    refusals = []
    for form in forms:
        try:
            found = {
                float(n): _fitted(form, float(n), x[n == N], loss[n == N], seed[n == N])
                for n in np.unique(N)
            }
        except FitError as refusal:
            refusals.append(str(refusal))
            continue
        tried.append((sum(_criterion(own) for own in found.values()), found))
        if all(_lack_of_fit(own) > LEAST_P_VALUE for own in found.values()):
            tried = tried[-1:]
            break
    if not tried:
        raise FitError("; ".join(refusals))
    _, best = min(tried, key=lambda one: one[0])
    found = {}
    for n, own in best.items():
        weights = counts[1:, seed[n == N]]
        found[n] = ScratchCurve(own, _without(own, weights), weights)
    return found


def _fitted(form: Law, n: float, x: Doubles, loss: Doubles, seed: Integers) -> Fit:
    """Without what ``ScratchCurve.checked`` adds, which takes ten times as long."""
    try:
        runs = read(None, form, LOSS, x, loss, seed, None, None)
        problem = set_up(form, runs, LOSS, {})
        if len(np.unique(x)) < num_free(problem):
            raise FitError(f"{form.name} takes {num_free(problem)} sizes or more; run others")
        basins = explore(problem)
    except FitError as refusal:
        raise FitError(f"from scratch, {n:,.0f} parameters: {refusal}") from refusal
    settings = Settings(LOSS, num_resamples=0)
    nothing = np.empty((0, len(form.parameters)))
    at = basins[0].parameters
    return Fit(form, at, nothing, FitStatus.FINE, (), basins, runs, settings)


def _without(found: Fit, weights: Doubles) -> Doubles:
    """Parameters for each row of ``weights`` (B, M), sought from the minima of the whole."""
    if not len(weights):
        return np.empty((0, len(found.parameters)))
    assert found.runs is not None
    problem = set_up(found.law, found.runs, LOSS, {}, weights)
    near = [basin.parameters for basin in found.basins if basin.near][:MAX_STARTS]
    return refit(problem, np.stack(near)).parameters


def _criterion(found: Fit) -> float:
    """Schwarz's. (Akaike's corrected for few runs forbids five parameters on eight.)"""
    assert found.runs is not None
    number = len(found.runs)
    misfit = max(2 * found.objective / number, 1e-12)
    return number * float(np.log(misfit)) + len(found.parameters) * float(np.log(number))


def _lack_of_fit(found: Fit) -> float:
    """The p value of means that lie off the curve, by what seeds scatter at single sizes beside
    what each does to all. 0 where nothing can tell: of one seed, or as many parameters as sizes."""
    from scipy.stats import f

    runs = found.runs
    assert runs is not None
    y = np.log(runs.y)
    sizes, at = np.unique(runs.x, return_inverse=True)
    number, seeds = np.bincount(at), len(np.unique(runs.unit))
    spare, freedom = len(sizes) - len(found.parameters), (len(sizes) - 1) * (seeds - 1)
    if spare < 1 or freedom < 1:
        return 0.0
    means = np.bincount(at, y) / number
    scatter = y - means[at]
    scatter -= (np.bincount(runs.unit, scatter) / np.bincount(runs.unit))[runs.unit]
    curve = np.log(np.asarray(found.law.predict(sizes, found.parameters)))
    off = float((number * np.square(means - curve)).sum()) / spare
    noise = max(float(np.square(scatter).sum()) / freedom, 1e-24)
    return float(f.sf(off / noise, spare, freedom))
