"""Whether a score ranks models as their outcomes do."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from raystudy.intervals import bootstrap_interval
from raystudy.kinds import Integers


def rank_correlation(
    scores: ArrayLike,
    outcomes: ArrayLike,
    *,
    kind: Literal["weighted", "plain"] = "weighted",
    num_resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Kendall's τ of ``scores`` (M,) and ``outcomes`` (M,) of M models in [−1, 1], with its 95 %
    percentile interval from resampling models: (τ, low, high).

    ``weighted`` is τ_w with hyperbolic weights (Vigna 2015), in which the order of the best models
    counts most, as it does to who tries but a few; ``plain`` is τ_b.

    Raises ValueError for fewer than 3 models, and for values that are not finite or all the same.
    """
    from scipy.stats import kendalltau, weightedtau  # here: it takes a second to import

    x, y = (np.asarray(a, dtype=np.float64) for a in (scores, outcomes))
    if x.ndim != 1 or x.shape != y.shape or len(x) < 3:
        raise ValueError(f"needs a score and an outcome of each of ≥ 3 models: {x.shape} {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()) or np.ptp(x) == 0 or np.ptp(y) == 0:
        raise ValueError("scores and outcomes must be finite, and neither all the same")
    tau = weightedtau if kind == "weighted" else kendalltau

    def statistic(models: Integers) -> float:
        if np.ptp(x[models]) == 0 or np.ptp(y[models]) == 0:
            return float("nan")
        found: Any = tau(x[models], y[models])
        return float(found.statistic)

    return bootstrap_interval([statistic], len(x), num_resamples=num_resamples, seed=seed)
