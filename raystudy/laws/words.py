"""A fit in words."""

from __future__ import annotations

import numpy as np

from raystudy.kinds import Law
from raystudy.laws.arrays import Doubles
from raystudy.laws.fitted import Fit
from raystudy.laws.status import FitError


def describe(fit: Fit) -> str:
    """Law, status and its reasons, parameters, other basins, hold-out: line by line."""
    settings, runs = fit.settings, fit.runs
    assert settings is not None
    assert runs is not None
    loss = settings.loss
    shape = "least squares" if loss.delta is None else f"Huber's loss, δ = {loss.delta:g},"
    lines = [
        f"{fit.law.name}, {shape} on {loss.scale}, {len(runs)} runs: {fit.status.value}",
        *(f"  {reason}" for reason in fit.reasons),
        f"objective {fit.objective:.6g}, RMSE {fit.rmse:.4g}, R² {fit.r_squared:.4f}, condition "
        f"number {fit.conditioning.number:.2g}",
    ]
    for name in fit.law.parameters:
        value, low, high = fit.parameter(name)
        if name in settings.fixed:
            lines.append(f"  {name} = {value:.5g}, fixed")
        elif np.isfinite(low):
            lines.append(f"  {name} = {value:.5g} ({low:.4g} to {high:.4g})")
        else:
            lines.append(f"  {name} = {value:.5g}")
    if len(fit.resampled):
        lines.append(
            f"{settings.coverage:.0%} intervals from {len(fit.resampled)} resamples of {runs.units}"
        )
    for basin in fit.basins[1:4]:
        kept = in_words(fit.law, basin.parameters, settings.fixed)
        note = " (fits about as well)" if basin.near else ""
        lines.append(f"another minimum, objective {basin.objective:.6g}: {kept}{note}")
    try:
        held, rolling = fit.holdout(), fit.rolling()
        lines.append(
            f"held out {held.by} > {held.cutoff:.4g}: RMSE of logs {held.rmse_log:.4g} over "
            f"{len(held.observed)} runs ({held.rmse_log_fitted:.4g} where fitted); next size, "
            f"from each of {len(rolling.cutoffs)} origins: {rolling.overall:.4g}"
        )
    except FitError as refusal:
        lines.append(f"nothing held out: {refusal}")
    return "\n".join(lines)


def in_words(law: Law, parameters: Doubles, fixed: set[str]) -> str:
    """Parameters (P,), but for those that are ``fixed``."""
    pairs = zip(law.parameters, parameters, strict=True)
    return ", ".join(f"{name} {value:.4g}" for name, value in pairs if name not in fixed)
