"""Which law for these runs? Judged first by what it says of the largest sizes without seeing them,
and beside it by what it pays for its parameters (AICc, BIC)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raystudy.kinds import Law
from raystudy.laws.basins import explore, num_free, set_up
from raystudy.laws.fitted import Settings
from raystudy.laws.holdout import hold_out, roll
from raystudy.laws.losses import Loss, named
from raystudy.laws.status import FitError
from raystudy.laws.table import Column, read


@dataclass(frozen=True)
class Standing:
    """How one law does. Errors are RMSE of logs; NaN, with ``refusal`` saying why, where there is
    none. ``aicc`` and ``bic`` compare laws fitted by one loss to the same runs only."""

    law: Law
    num_parameters: int
    held_out: float
    rolling: float
    fitted: float
    aicc: float
    bic: float
    refusal: str = ""


def compare(
    table: Any,
    forms: Sequence[Law],
    x: Column | Sequence[Column] | None = None,
    y: Column = "y",
    *,
    weights: Column | None = None,
    loss: Loss | str = "log",
    fraction: float = 0.5,
    by: str | None = None,
) -> list[Standing]:
    """Forms on one table, the least hold-out error first (see ``raystudy.laws.fit.fit`` for the
    arguments). Laws that cannot be fitted come last, with the reason."""
    loss = named(loss)
    found = [_standing(table, law, x, y, weights, loss, fraction, by) for law in forms]
    return sorted(found, key=lambda s: (not np.isfinite(s.held_out), s.held_out, s.aicc))


def _standing(table, law: Law, x, y, weights, loss: Loss, fraction, by) -> Standing:
    nothing = float("nan")
    try:
        runs = read(table, law, loss, x, y, None, None, weights)
        problem = set_up(law, runs, loss, {})
        best = explore(problem)[0]
    except FitError as error:
        return Standing(law, len(law.parameters), *[nothing] * 5, refusal=str(error))
    free, number = num_free(problem), len(runs)
    settings = Settings(loss)
    curve = np.asarray(law.predict(runs.x, best.parameters), dtype=np.float64)
    residuals = loss.forward(runs.y) - loss.forward(curve)
    fitted = float(np.sqrt(np.mean(np.square(residuals))))
    held, rolling, refusal = nothing, nothing, ""
    try:
        held = hold_out(law, runs, settings, fraction, by).rmse_log
        rolling = roll(law, runs, settings, by).overall
    except FitError as error:
        refusal = str(error)
    aicc, bic = _criteria(best.objective, loss, number, free)
    return Standing(law, free, held, rolling, fitted, aicc, bic, refusal)


def _criteria(objective: float, loss: Loss, number: int, free: int) -> tuple[float, float]:
    """AICc (Hurvich and Tsai 1989) and BIC, of normal errors or, under Huber's loss, of Laplace's.
    The errors' scale is a parameter too."""
    count = free + 1
    if objective <= 0:
        return -np.inf, -np.inf
    scale = 2 * objective / number if loss.delta is None else objective / number
    deviance = number * np.log(scale) * (1 if loss.delta is None else 2)
    spare = number - count - 1
    aicc = deviance + 2 * count + 2 * count * (count + 1) / spare if spare > 0 else np.inf
    return float(aicc), float(deviance + count * np.log(number))
