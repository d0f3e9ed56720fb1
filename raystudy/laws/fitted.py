"""A fitted law: what it predicts, its parameters, and how sure either is.

Shapes: N points, R resamples, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from raystudy.intervals import COVERAGE
from raystudy.kinds import Law
from raystudy.laws.arrays import Doubles
from raystudy.laws.basins import Basin, Bounds, set_up
from raystudy.laws.diagnostics import Conditioning, ResidualCheck, conditioning, residual_checks
from raystudy.laws.losses import Loss
from raystudy.laws.profile import Profile, profile
from raystudy.laws.solver import Problem
from raystudy.laws.status import FitError, FitStatus
from raystudy.laws.table import Runs
from raystudy.randomness import generator

if TYPE_CHECKING:
    from raystudy.laws.holdout import Holdout, RollingOrigin

PERCENTILES = (50 * (1 - COVERAGE), 50 * (1 + COVERAGE))
MIN_BAND = 20
"""Resamples below which percentiles say nothing."""


@dataclass(frozen=True)
class Settings:
    """How a fit was made, so that it can be made again on fewer runs."""

    loss: Loss
    bounds: Bounds = field(default_factory=dict)
    """Narrower than the law's own; (a, a) where a parameter is fixed."""
    starts: ArrayLike | None = None
    coverage: float = COVERAGE
    num_resamples: int = 1000
    random_seed: int = 0

    @property
    def fixed(self) -> set[str]:
        return {name for name, (low, high) in self.bounds.items() if low == high}


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted law. ``parameters`` (P,); ``resampled`` (R, P), with no row after one seed.

    ``basins`` are all the minima that were found, best first; those that are ``near`` fit about as
    well. ``widening`` stretches the spread of the resamples for how few units there are.
    """

    law: Law
    parameters: Doubles
    resampled: Doubles
    status: FitStatus
    reasons: tuple[str, ...]
    basins: tuple[Basin, ...] = ()
    runs: Runs | None = None
    settings: Settings | None = None
    widening: float = 1.0

    def predict(
        self, x: ArrayLike, of: Literal["curve", "run"] = "curve"
    ) -> tuple[Doubles, Doubles, Doubles]:
        """The curve at ``x`` (N,) or (N, K) and its percentile band: (y, low, high), each (N,).

        The band is pointwise. Of the curve, it holds the doubt about the parameters; of a ``run``,
        the scatter of one new run too. It is (−inf, inf) after one seed.
        """
        at = np.atleast_1d(np.asarray(x, dtype=np.float64))
        if at.ndim == 1 and len(self.law.inputs) > 1:
            at = at[None]
        y = np.asarray(self.law.predict(at, self.parameters), dtype=np.float64)
        curves = np.asarray(self.law.predict(at, self.resampled), dtype=np.float64)
        if self.settings is None or not len(curves):
            return y, *band(curves)
        loss = self.settings.loss
        with np.errstate(all="ignore"):
            centre, curves = loss.forward(y), loss.forward(curves)
            curves = centre + self.widening * (curves - centre)
            if of == "run":
                curves = curves + self._scatter(len(curves))[:, None]
            low, high = (loss.backward(edge) for edge in band(curves, self.settings.coverage))
        return y, low, high

    def parameter(self, name: str) -> tuple[float, float, float]:
        """A parameter and its percentile interval: (value, low, high).

        Raises ValueError if the law has no such parameter.
        """
        i = self._index(name)
        low, high = self.interval_of(i)
        return float(self.parameters[i]), low, high

    def derive(self, quantity: Callable[[Doubles], Doubles]) -> tuple[float, float, float]:
        """Any positive quantity of the parameters with its percentile interval: (value, low, high).

        ``quantity`` takes parameters (R, P) to (R,), with 0 or inf where it is out of reach; the
        interval is then open on that side. (0, inf) after one seed.
        """
        value = float(quantity(self.parameters[None])[0])
        found = np.asarray(quantity(self.resampled), dtype=np.float64)
        if not len(found):
            return value, 0.0, float("inf")
        if 0 < value < np.inf:
            with np.errstate(divide="ignore"):
                found = value * np.exp(self.widening * (np.log(found) - np.log(value)))
        coverage = self.settings.coverage if self.settings else COVERAGE
        edges = 50 * (1 - coverage), 50 * (1 + coverage)
        low = np.percentile(found, edges[0], method="lower")  # inf cannot be interpolated
        high = np.percentile(found, edges[1], method="higher")
        return value, float(low), float(high)

    @property
    def objective(self) -> float:
        """The least sum of weighted losses that was found."""
        return self.basins[0].objective if self.basins else float("nan")

    @cached_property
    def rmse(self) -> float:
        """Root mean square of the residuals on the scale of the loss."""
        return float(np.sqrt(np.mean(np.square(self.residuals))))

    @cached_property
    def r_squared(self) -> float:
        """Share of the variance, on the scale of the loss, that the curve explains."""
        runs, settings = self._data
        seen = settings.loss.forward(runs.y)
        total = np.sum(runs.weights * np.square(seen - np.average(seen, weights=runs.weights)))
        return float(1 - np.sum(runs.weights * np.square(self.residuals)) / total)

    @cached_property
    def residuals(self) -> Doubles:
        """Observed minus fitted on the scale of the loss, (M,)."""
        runs, settings = self._data
        curve = np.asarray(self.law.predict(runs.x, self.parameters), dtype=np.float64)
        return settings.loss.forward(runs.y) - settings.loss.forward(curve)

    @cached_property
    def conditioning(self) -> Conditioning:
        """How well the parameters can be told apart."""
        return conditioning(self._problem, self.parameters)

    @cached_property
    def residual_checks(self) -> tuple[ResidualCheck, ...]:
        """Whether the residuals have more order along each input than chance gives."""
        return residual_checks(self._problem, self.parameters)

    def profile(self, name: str, values: ArrayLike | None = None, num_values: int = 41) -> Profile:
        """The profile likelihood of a parameter: its interval, and whether it is identified.

        ``values``: where to look, by default 4 standard errors to each side.
        """
        i = self._index(name)
        _, settings = self._data
        if name in settings.fixed:
            raise ValueError(f"{name} is fixed; it has no profile")
        spread = self.resampled[:, i]
        if name in self.law.logarithmic:
            spread = np.log(np.maximum(spread, 1e-300))
        error = float("nan")
        if len(spread) >= MIN_BAND:
            quarter, half = np.percentile(spread, (25, 75))
            error = self.widening * float(half - quarter) / 1.349
        coverage = settings.coverage
        return profile(self._problem, self.basins, name, values, num_values, error, coverage)

    def holdout(self, fraction: float = 0.5, by: str | None = None) -> Holdout:
        """Fitted again on the runs with ``by`` (the first input, if not said) up to ``fraction`` of
        the largest, and asked for the others. Raises FitError where too few are left."""
        from raystudy.laws.holdout import hold_out

        runs, settings = self._data
        return hold_out(self.law, runs, settings, fraction, by)

    def rolling(self, by: str | None = None) -> RollingOrigin:
        """Fitted again on the smallest sizes, then on one more, …, each time asked for the next."""
        from raystudy.laws.holdout import roll

        runs, settings = self._data
        return roll(self.law, runs, settings, by)

    def report(self) -> str:
        """The fit in a few lines of text."""
        from raystudy.laws.words import describe

        return describe(self)

    def interval_of(self, i: int) -> tuple[float, float]:
        """The interval of the parameter at place ``i``."""
        if self.settings is None or not len(self.resampled):
            low, high = band(self.resampled[:, i])
            return float(low), float(high)
        is_log = self.law.parameters[i] in self.law.logarithmic
        values, at = self.resampled[:, i], self.parameters[i]
        if is_log:
            values, at = np.log(np.maximum(values, 1e-300)), np.log(max(at, 1e-300))
        edges = band(at + self.widening * (values - at), self.settings.coverage)
        if is_log:
            edges = np.exp(edges)
        inside = np.clip(edges, *self.bounds[i])
        return float(inside[0]), float(inside[1])

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """The range in which each parameter was looked for."""
        asked = self.settings.bounds if self.settings else {}
        pairs = zip(self.law.parameters, self.law.bounds, strict=True)
        return tuple(asked.get(name, own) for name, own in pairs)

    @property
    def _data(self) -> tuple[Runs, Settings]:
        if self.runs is None or self.settings is None:
            raise FitError("this fit keeps no runs; fit with raystudy.laws.fit.fit")
        return self.runs, self.settings

    @cached_property
    def _problem(self) -> Problem:
        runs, settings = self._data
        return set_up(self.law, runs, settings.loss, settings.bounds)

    def _scatter(self, number: int) -> Doubles:
        """Residuals of single runs, as many as there are resamples."""
        runs, _ = self._data
        freedom = max(len(runs) - len(self.law.parameters), 1)
        stretch = np.sqrt(len(runs) / freedom)
        draws = generator(0, "scatter of a new run", number)
        return stretch * draws.choice(self.residuals, size=number)

    def _index(self, name: str) -> int:
        names = self.law.parameters
        if name not in names:
            raise ValueError(f"{self.law.name} has no parameter '{name}'; it has {list(names)}")
        return names.index(name)


def band(resampled: Doubles, coverage: float = COVERAGE) -> tuple[Doubles, Doubles]:
    """The percentiles over the first axis, or (−inf, inf) where it is empty."""
    if not len(resampled):
        nothing = np.full(resampled.shape[1:], np.inf)
        return -nothing, nothing
    low, high = np.percentile(resampled, (50 * (1 - coverage), 50 * (1 + coverage)), axis=0)
    return low, high


NEAR = 1e-6
"""Of a bound and of a parameter's own interval, within which it lies on the bound."""
UNKNOWN_WIDTH = 1e-3


def bound_reasons(fit: Fit) -> tuple[list[str], list[str]]:
    """Parameters whose interval reaches a bound, and parameters that lie on one."""
    unsure, stuck = [], []
    for i, (name, bounds) in enumerate(zip(fit.law.parameters, fit.bounds, strict=True)):
        if bounds[0] == bounds[1]:
            continue
        low, high = fit.interval_of(i)
        width = high - low if np.isfinite([low, high]).all() and high > low else UNKNOWN_WIDTH
        for side, bound in zip(("lower", "upper"), bounds, strict=True):
            if not np.isfinite(bound):
                continue
            slack = NEAR * (abs(bound) + min(width, 1.0))
            if _reaches(float(fit.parameters[i]), bound, side, slack):
                stuck.append(f"{name} is at its {side} bound {bound:g}")
                continue
            end = low if side == "lower" else high
            if np.isfinite(end) and _reaches(end, bound, side, slack):
                unsure.append(f"the interval of {name} reaches its {side} bound {bound:g}")
    return unsure, stuck


def _reaches(value: float, bound: float, side: str, slack: float) -> bool:
    return bool(value <= bound + slack if side == "lower" else value >= bound - slack)
