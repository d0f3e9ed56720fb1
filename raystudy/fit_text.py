"""What ``raystudy fit`` prints: text for a person, JSON for a program."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from raystudy.laws.compare import Standing
from raystudy.laws.multiplier import Multiplier
from raystudy.laws.status import FitError
from raystudy.report.fitted_table import FittedTable
from raystudy.report.law_arms import FRACTION, LawArm


def as_text(found: FittedTable, fraction: float = FRACTION) -> str:
    """Each arm's fit in a few lines, then what follows from all."""
    blocks = []
    for arm in found.arms:
        lines = [f"[{arm.name}]"] if len(found.arms) + len(found.refused) > 1 else []
        lines.append(arm.fit.report())
        if fraction != FRACTION and arm.holdout:
            held = arm.holdout
            lines.append(
                f"held out {held.by} > {held.cutoff:.4g}: RMSE of logs {held.rmse_log:.4g} over "
                f"{len(held.observed)} runs ({held.rmse_log_fitted:.4g} where fitted)"
            )
        if arm.name in found.standings:
            lines += _standings(found.standings[arm.name])
        blocks.append("\n".join(lines))
    if found.refused:
        blocks.append("\n".join(f"not fitted: {n}: {why}" for n, why in found.refused.items()))
    if found.pairs:
        lines = [f"data of {found.pairs[0].better} is worth, in data of"]
        for pair in found.pairs:
            worth = pair.multiplier.text if pair.multiplier else f"not read: {pair.refusal}"
            lines.append(f"  {pair.worse}: {worth}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def as_json_text(found: FittedTable) -> str:
    """The same, as JSON: null where a number is not finite."""
    content = {
        "law": found.arms[0].fit.law.name,
        "form": type(found.arms[0].fit.law).__name__,
        "x": list(found.words.inputs),
        "y": found.words.output,
        "arms": {arm.name: _arm(arm, found.standings.get(arm.name, ())) for arm in found.arms},
        "refused": dict(found.refused),
        "multipliers": [
            {"better": p.better, "worse": p.worse}
            | (_multiplier(p.multiplier) if p.multiplier else {"refusal": p.refusal})
            for p in found.pairs
        ],
    }
    return json.dumps(_finite(content), ensure_ascii=False, indent=1, allow_nan=False)


def _standings(found: Sequence[Standing]) -> list[str]:
    lines = ["", "form               parameters  held out   rolling    fitted      AICc       BIC"]
    foreign = [s for s in found if not np.isfinite(s.fitted)]
    for s in found:
        if s not in foreign:
            values = (s.held_out, s.rolling, s.fitted, s.aicc, s.bic)
            numbers = "".join(f"{v:10.4g}" if np.isfinite(v) else f"{'—':>10}" for v in values)
            refusal = f"  {s.refusal}" if s.refusal else ""
            lines.append(f"{type(s.law).__name__:18} {s.num_parameters:10d}{numbers}{refusal}")
    return lines + [f"not for these runs: {s.refusal}" for s in foreign]


def _arm(arm: LawArm, standings: Sequence[Standing]) -> dict[str, Any]:
    fit, held = arm.fit, arm.holdout
    fixed = fit.settings.fixed if fit.settings else set()
    told: dict[str, Any] = {
        "num_runs": len(arm.y),
        "status": fit.status.value,
        "reasons": list(fit.reasons),
        "parameters": {
            name: dict(zip(("value", "low", "high"), fit.parameter(name), strict=True))
            | {"fixed": name in fixed}
            for name in fit.law.parameters
        },
        "objective": fit.objective,
        "rmse": fit.rmse,
        "r_squared": fit.r_squared,
        "condition_number": fit.conditioning.number,
        "minima": [
            {
                "objective": basin.objective,
                "near": basin.near,
                "parameters": dict(zip(fit.law.parameters, basin.parameters.tolist(), strict=True)),
            }
            for basin in fit.basins
        ],
        "residual_checks": [vars(check) for check in fit.residual_checks],
        "held_out": {"refusal": arm.refusal}
        if held is None
        else {
            "by": held.by,
            "cutoff": held.cutoff,
            "num_runs": len(held.observed),
            "rmse_log": held.rmse_log,
            "rmse_log_fitted": held.rmse_log_fitted,
        },
    }
    try:
        rolling = fit.rolling()
        told["rolling"] = {"rmse_log": rolling.overall, "origins": rolling.cutoffs.tolist()}
    except FitError as refusal:
        told["rolling"] = {"refusal": str(refusal)}
    if standings:
        told["forms"] = [
            {k: v for k, v in vars(s).items() if k != "law"} | {"form": type(s.law).__name__}
            for s in standings
        ]
    return told


def _multiplier(found: Multiplier) -> dict[str, Any]:
    return {
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "status": found.status.value,
        "text": found.text,
    }


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, np.generic):
        return value.item()
    return value
