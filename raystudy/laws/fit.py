"""Fit a law to runs, and say what the fit does not know.

``fit`` takes anybody's table and any form of this folder; ``fit_law`` is what studies use: least
squares as the law itself has it, over seeds.

Intervals resample the seeds, jointly across sizes: what one seed drew (subset, initialisation,
few-shot examples) moves its runs together, so runs are no independent draws.

Shapes: M runs, S seeds, B distinct resamples, R resamples, P parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from raystudy.intervals import percentile_coverage, resample_seeds
from raystudy.kinds import Integers, Law
from raystudy.laws.arrays import Doubles
from raystudy.laws.basins import explore, num_free, refit, set_up
from raystudy.laws.bootstrap import distinct, resample
from raystudy.laws.fitted import PERCENTILES, Fit, Settings, bound_reasons
from raystudy.laws.losses import Loss, named
from raystudy.laws.status import FitError, FitStatus
from raystudy.laws.table import Column, Runs, read
from raystudy.laws.words import in_words

__all__ = ["PERCENTILES", "Fit", "FitError", "FitStatus", "extrapolation_error", "fit", "fit_law"]

MIN_SIZES, ENOUGH_SIZES, ENOUGH_SEEDS = 3, 4, 5
MAX_CONDITION = 1e5
LEAST_P_VALUE = 0.01


def fit(
    table: Any,
    form: Law,
    x: Column | Sequence[Column] | None = None,
    y: Column = "y",
    *,
    seed: Column | None = None,
    run: Column | None = None,
    weights: Column | None = None,
    loss: Loss | str | None = None,
    fixed: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    starts: ArrayLike | None = None,
    num_resamples: int = 1000,
    coverage: float = 0.95,
    random_seed: int = 0,
) -> Fit:
    """Fit ``form`` to a table: polars, pandas, a dictionary of columns, or None and plain arrays.

    ``x``: a column for each of ``form.inputs``, in their order (default: columns of those names).
    ``y``: the column of what is measured.
    ``seed``: the column that says which seed a row is of, where seeds cross sizes: intervals
    resample seeds. ``run``: the training that a row is a checkpoint of: intervals resample
    trainings. Neither: rows are independent, and intervals resample their residuals.
    ``weights``: a column, or "seed variance" for 1/variance of the runs at the same x.
    ``loss``: ``log``, ``y``, ``log1p``, ``probit`` (least squares on that scale), ``huber`` (on log
    residuals, δ = 0.001) or a ``Loss``; by default the form's own.
    ``fixed``: parameters by name that keep a value. ``bounds``: (lowest, highest) by name, within
    the form's own. ``starts``: (S, P), tried beside the form's.
    ``num_resamples``: 0 for no intervals. ``coverage`` of the intervals and bands.

        fit(frame, OffsetPower(), x="size", y="error", seed="seed").report()

    Raises FitError, naming the column or parameter and the way out, for runs that cannot be fitted.
    """
    loss = named(loss if loss is not None else form.loss)
    runs = read(table, form, loss, x, y, seed, run, weights)
    within = dict(bounds or {}) | {name: (value, value) for name, value in (fixed or {}).items()}
    settings = Settings(loss, within, starts, coverage, num_resamples, random_seed)
    return fit_runs(form, runs, settings)


def fit_runs(law: Law, runs: Runs, settings: Settings) -> Fit:
    """``fit`` of runs that have been read."""
    problem = set_up(law, runs, settings.loss, settings.bounds)
    free, points = num_free(problem), len(np.unique(runs.x, axis=0))
    if points < free:
        raise FitError(
            f"{law.name} has {free} free parameters and the runs have {points} distinct x; fix "
            "parameters, or take a law with fewer"
        )
    basins = explore(problem, settings.starts)
    best = basins[0]
    drawn = resample(
        problem, runs, basins, settings.num_resamples, settings.random_seed, settings.coverage
    )
    found = Fit(
        law,
        best.parameters,
        drawn.parameters,
        FitStatus.FINE,
        (),
        basins=basins,
        runs=runs,
        settings=settings,
        widening=drawn.widening,
    )
    return _judged(found, list(drawn.reasons), points - free)


def _judged(found: Fit, reasons: list[str], spare: int) -> Fit:
    """The fit with its status: every reason for which it might be less than it looks."""
    law, fixed = found.law, found.settings.fixed if found.settings else set()
    if spare < 1:
        reasons.append("as many parameters as distinct x leave nothing to test the law's shape on")
    if (copies := _copies(found.runs)) > 0:
        reasons.append(
            f"{copies} rows repeat another to the last digit; leave copies out, or intervals are "
            "too narrow"
        )
    if not found.basins[0].converged:
        reasons.append("the search had not converged when it was stopped")
    if (number := found.conditioning.number) > MAX_CONDITION:
        tied = ", ".join(found.conditioning.weakest)
        reasons.append(f"{tied} can hardly be told apart (condition number {number:.1e})")
    for check in found.residual_checks:
        if check.p_value < LEAST_P_VALUE:
            reasons.append(
                f"residuals along {check.input} change sign {check.num_signs - 1} times, chance "
                f"would {check.expected - 1:.0f}: the law bends otherwise than the runs do"
            )
    unsure, stuck = bound_reasons(found)
    others = [basin for basin in found.basins[1:] if basin.near]
    several = [
        f"another minimum, {in_words(law, basin.parameters, fixed)}, fits about as well "
        f"(objective {basin.objective:.6g}, the best {found.basins[0].objective:.6g})"
        for basin in others[:3]
    ]
    status = FitStatus.WEAK if reasons or unsure else FitStatus.FINE
    status = FitStatus.SEVERAL_BASINS if several else status
    status = FitStatus.AT_BOUND if stuck else status
    return replace(found, status=status, reasons=(*stuck, *several, *reasons, *unsure))


def _copies(runs: Runs | None) -> int:
    """Rows that have the x and y of an earlier one, where rows are taken for independent."""
    if runs is None or runs.units != "residuals":
        return 0
    rows = np.column_stack([runs.x, runs.y])
    return len(rows) - len(np.unique(rows, axis=0))


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
        kept = distinct(sizes, weights) >= MIN_SIZES
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
    found = Fit(law, parameters, resampled, FitStatus.FINE, ())
    unsure, stuck = bound_reasons(found)
    status = FitStatus.WEAK if reasons or unsure else FitStatus.FINE
    status = FitStatus.AT_BOUND if stuck else status
    return replace(found, status=status, reasons=(*stuck, *reasons, *unsure))


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
    """One fit for each row of ``weights`` (B, M), to (B, P): least squares as the law has it, or
    by its own loss where it leaves that to the solver. Raises FitError for the law."""
    try:
        solved = law.solve(x, np.tile(y, (len(weights), 1)), weights)
        if solved is not None:
            return np.asarray(solved, dtype=np.float64)
        law.check(x, y)
    except ValueError as error:
        raise FitError(str(error)) from error
    runs = Runs(x, y, weights[0], np.arange(len(y)), "residuals")
    problem = set_up(law, runs, named(law.loss), {}, weights)
    basins = explore(problem)
    return refit(problem, np.stack([basin.parameters for basin in basins[:5]])).parameters


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
