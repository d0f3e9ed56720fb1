"""Fit a law to runs, and say what the fit does not know.

Intervals resample the seeds, jointly across sizes: what one seed drew (subset, initialisation,
few-shot examples) moves its runs together, so runs are no independent draws.

Shapes: M runs, S seeds, B distinct resamples, R resamples, P parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raystudy.intervals import COVERAGE, percentile_coverage, resample_seeds
from raystudy.kinds import Integers, Law

Doubles = NDArray[np.float64]

PERCENTILES = (50 * (1 - COVERAGE), 50 * (1 + COVERAGE))
MIN_SIZES, ENOUGH_SIZES, ENOUGH_SEEDS = 3, 4, 5


class FitError(ValueError):
    """The runs cannot identify the law."""


class FitStatus(Enum):
    """How far a fit can be trusted; ``Fit.reasons`` says why not further."""

    FINE = "fine"
    WEAK = "weak"
    """The curve is usable; its interval is too narrow, or a parameter hardly identified."""
    AT_BOUND = "at bound"
    """A parameter lies on the edge of its range, and is no estimate."""


@runtime_checkable
class Bounded(Protocol):
    """A law that knows the range of each parameter: (lowest, highest)."""

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]: ...


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted law. ``parameters`` (P,); ``resampled`` (R, P), with no row after one seed."""

    law: Law
    parameters: Doubles
    resampled: Doubles
    status: FitStatus
    reasons: tuple[str, ...]

    def predict(self, x: ArrayLike) -> tuple[Doubles, Doubles, Doubles]:
        """The curve at ``x`` (N,) and its 95 % percentile band: (y, low, high), each (N,).

        The band is (−inf, inf) after one seed. It is pointwise, and of the curve: it holds the
        doubt about the parameters, not the scatter of one new run.
        """
        at = np.atleast_1d(np.asarray(x, dtype=np.float64))
        low, high = _band(np.asarray(self.law.predict(at, self.resampled), dtype=np.float64))
        return np.asarray(self.law.predict(at, self.parameters), dtype=np.float64), low, high

    def parameter(self, name: str) -> tuple[float, float, float]:
        """A parameter and its 95 % percentile interval: (value, low, high).

        Raises ValueError if the law has no such parameter.
        """
        names = self.law.parameters
        if name not in names:
            raise ValueError(f"{self.law.name} has no parameter '{name}'; it has {list(names)}")
        index = names.index(name)
        low, high = _band(self.resampled[:, index])
        return float(self.parameters[index]), float(low), float(high)


def fit_law(
    law: Law,
    x: ArrayLike,
    y: ArrayLike,
    seed_index: ArrayLike,
    *,
    num_resamples: int = 1000,
    seed: int = 0,
) -> Fit:
    """Fit ``law`` to runs: sizes ``x`` (M,), errors ``y`` (M,), the seed of each (M,).

    Raises FitError for fewer than 3 distinct x, for x that is not positive and finite, for y that
    is not finite, and for lengths that differ.
    """
    sizes, errors, seeds = check_runs(x, y, seed_index)
    parameters = solve_weighted(law, sizes, errors, np.ones((1, len(sizes))))[0]
    names = np.unique(seeds)
    reasons = []

    resampled = np.empty((0, len(law.parameters)))
    if len(names) > 1:
        counts, frequency = resample_seeds(len(names), num_resamples, seed)
        weights = run_weights(counts, names, seeds)
        kept = num_sizes(sizes, weights) >= MIN_SIZES
        if not kept.all():
            share = 1 - frequency[kept].sum() / num_resamples
            reasons.append(
                f"{share:.0%} of resamples keep fewer than {MIN_SIZES} sizes and are left out; "
                "run every seed at every size"
            )
        if kept.any():
            solved = solve_weighted(law, sizes, errors, weights[kept])
            resampled = np.repeat(solved, frequency[kept], axis=0)

    reasons += _thin(len(np.unique(sizes)), len(names))
    unsure, stuck = _bound_reasons(law, parameters, resampled)
    status = FitStatus.WEAK if reasons or unsure else FitStatus.FINE
    status = FitStatus.AT_BOUND if stuck else status
    return Fit(law, parameters, resampled, status, (*stuck, *reasons, *unsure))


def extrapolation_error(
    law: Law, x: ArrayLike, y: ArrayLike, seed_index: ArrayLike
) -> float | None:
    """Observed − predicted mean error at the largest size, in points, from a fit without it.

    Positive: the law promised too much. None where fewer than 3 sizes remain. Raises FitError.
    """
    sizes, errors, _ = check_runs(x, y, seed_index, min_sizes=1)
    last = sizes == sizes.max()
    if len(np.unique(sizes[~last])) < MIN_SIZES:
        return None
    parameters = solve_weighted(law, sizes[~last], errors[~last], np.ones((1, (~last).sum())))[0]
    predicted = law.predict(sizes[last][:1], parameters)[0]
    return float(100 * (errors[last].mean() - predicted))


def check_runs(
    x: ArrayLike, y: ArrayLike, seed_index: ArrayLike, *, min_sizes: int = MIN_SIZES
) -> tuple[Doubles, Doubles, Integers]:
    """The runs as arrays (M,). Raises FitError as ``fit_law`` says."""
    sizes, errors = (np.asarray(a, dtype=np.float64) for a in (x, y))
    seeds = np.asarray(seed_index)
    if sizes.ndim != 1 or not sizes.shape == errors.shape == seeds.shape:
        raise FitError(
            f"x, y and seed_index must hold one entry a run: their shapes are "
            f"{sizes.shape}, {errors.shape} and {seeds.shape}"
        )
    if not (np.isfinite(sizes).all() and (sizes > 0).all()):
        raise FitError("x must be positive and finite; leave untrained backbones (size 0) out")
    if not np.isfinite(errors).all():
        raise FitError("y must be finite; leave out the runs that have no result")
    if (found := len(np.unique(sizes))) < min_sizes:
        raise FitError(f"a law needs {min_sizes} distinct x or more, these runs have {found}")
    return sizes, errors, seeds


def run_weights(counts: Doubles, names: Integers, seeds: Integers) -> Doubles:
    """Counts of the seeds ``names`` (B, S) as weights of runs of ``seeds`` (M,): (B, M)."""
    return counts[:, np.searchsorted(names, seeds)]


def solve_weighted(law: Law, x: Doubles, y: Doubles, weights: Doubles) -> Doubles:
    """One fit for each row of ``weights`` (B, M), to (B, P). Raises FitError for the law."""
    try:
        solved = law.solve(x, np.tile(y, (len(weights), 1)), weights)
    except ValueError as error:
        raise FitError(str(error)) from error
    return np.asarray(solved, dtype=np.float64)


def num_sizes(sizes: Doubles, weights: Doubles) -> Integers:
    """How many distinct ``sizes`` (M,) each row of ``weights`` (B, M) keeps: (B,)."""
    at = sizes == np.unique(sizes)[:, None]
    return (weights @ at.T > 0).sum(1)


def _thin(distinct_sizes: int, num_seeds: int) -> list[str]:
    reasons = []
    if distinct_sizes < ENOUGH_SIZES:
        reasons.append(
            f"{distinct_sizes} sizes leave nothing to test the law's shape on; add a size"
        )
    if num_seeds == 1:
        reasons.append("one seed gives no interval; run more seeds")
    elif num_seeds < ENOUGH_SEEDS:
        share = percentile_coverage(num_seeds)
        reasons.append(f"resampling {num_seeds} seeds covers {share:.0%} at best, not 95 %")
    return reasons


def _bound_reasons(
    law: Law, parameters: Doubles, resampled: Doubles
) -> tuple[list[str], list[str]]:
    """Parameters whose interval reaches a bound, and parameters that lie on one."""
    unsure, stuck = [], []
    for i, (name, bounds) in enumerate(
        zip(law.parameters, law.bounds if isinstance(law, Bounded) else (), strict=False)
    ):
        for side, bound in zip(("lower", "upper"), bounds, strict=True):
            if not np.isfinite(bound):
                continue
            if _reaches(parameters[i], bound, side):
                stuck.append(f"{name} is at its {side} bound {bound:g}")
            elif len(resampled):
                low, high = _band(resampled[:, i])
                if _reaches(float(low if side == "lower" else high), bound, side):
                    unsure.append(f"the interval of {name} reaches its {side} bound {bound:g}")
    return unsure, stuck


def _reaches(value: float, bound: float, side: str) -> bool:
    slack = 1e-6 * abs(bound) + 1e-9
    return bool(value <= bound + slack if side == "lower" else value >= bound - slack)


def _band(resampled: Doubles) -> tuple[Doubles, Doubles]:
    """The 95 % percentiles over the first axis, or (−inf, inf) where it is empty."""
    if not len(resampled):
        nothing = np.full(resampled.shape[1:], np.inf)
        return -nothing, nothing
    low, high = np.percentile(resampled, PERCENTILES, axis=0)
    return low, high
