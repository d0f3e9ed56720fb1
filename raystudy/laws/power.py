"""A power law that levels off: error = E + A·x^−α.

M2 of Alabdulmohsin, Neyshabur and Zhai, "Revisiting Neural Scaling Laws in Language and Vision"
(2022), fitted by variable projection (Golub and Pereyra 1973): for a given α the best E and A have
a closed form, which leaves a search along one line.

Shapes: B fits, N points, K distinct x, G exponents tried.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from raystudy.kinds import Floats, Law
from raystudy.laws.arrays import Doubles, each, product_of_grids, require_positive, stacked

ALPHA_MIN = 1e-3
NUM_GRID, NUM_HALVINGS = 64, 32


class OffsetPower(Law):
    """E in [0, ``E_max``] is the error that no amount of data removes, A ≥ 0 the error above it at
    x = 1, and α in [0.001, ``alpha_max``] how fast that goes away.

    Least squares on the error itself: seeds scatter by about as many points at every size, and
    least squares on log(y − E) is lowest at E = 0 for many tasks.
    """

    parameters: ClassVar[tuple[str, ...]] = ("E", "A", "alpha")
    linear: ClassVar[tuple[str, ...]] = ("E", "A")
    logarithmic: ClassVar[tuple[str, ...]] = ("A",)
    loss: ClassVar[str] = "y"
    alpha_max: Annotated[float, Field(gt=ALPHA_MIN)] = 2.0
    E_max: Annotated[float, Field(gt=0)] = 1.0
    """For losses, which are not bound by 1 as errors are, take more than the largest."""

    @property
    def name(self) -> str:
        return "E + A·x^−α"

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """The closed range of each parameter, as (lowest, highest)."""
        return (0.0, self.E_max), (0.0, np.inf), (ALPHA_MIN, self.alpha_max)

    def check(self, x: Floats, y: Floats) -> None:
        require_positive(x, self.inputs)
        _require_errors(y, self.E_max)

    def predict(self, x: Floats, parameters: Floats) -> Doubles:
        """``x`` (N,) and ``parameters`` (…, 3) to errors (…, N)."""
        E, A, alpha = np.moveaxis(np.asarray(parameters, dtype=np.float64)[..., None], -2, 0)
        return E + A * np.asarray(x, dtype=np.float64) ** -alpha

    def jacobian(self, x: Floats, parameters: Floats) -> Doubles:
        _, A, alpha = each(parameters)
        log_x = np.log(x)
        decay = np.exp(-alpha * log_x)
        return stacked(1.0, decay, -A * decay * log_x)

    def starts(self, x: Floats, y: Floats) -> Doubles:
        exponents = np.geomspace(0.05, 0.95 * self.alpha_max, 5)
        return product_of_grids(np.nan, np.nan, exponents)

    def solve(self, x: Floats, y: Floats, weights: Floats) -> Doubles:
        """The least Σ w (y − E − A·x^−α)² of each row.

        ``x`` (N,) positive, ``y`` (B, N) errors in [0, 1], ``weights`` (B, N) not negative; to
        (B, 3). Raises ValueError for anything else.
        """
        x_K, y_KB, w_KB = _pool(*_checked(x, y, weights, self.E_max))
        log_K = np.log(x_K / x_K[0])[:, None, None]
        problem = log_K, y_KB[..., None], w_KB[..., None], self.E_max

        low, high = np.log(ALPHA_MIN), np.log(self.alpha_max)
        best_B1 = _best(np.linspace(low, high, NUM_GRID)[None], *problem)
        around = (high - low) / (NUM_GRID - 1) * np.array([-1.0, 0.0, 1.0])
        for _ in range(NUM_HALVINGS):
            around /= 2
            best_B1 = _best(np.clip(best_B1 + around, low, high), *problem)

        alpha_B1 = np.exp(best_B1)
        E_B1, A_B1, _ = _project(alpha_B1, *problem)
        return np.concatenate([E_B1, A_B1 * x_K[0] ** alpha_B1, alpha_B1], axis=1)


def _best(tried_BG: Doubles, log_K: Doubles, y_KB: Doubles, w_KB: Doubles, E_max: float) -> Doubles:
    """Of each row's log exponents the one of least loss, (B, 1)."""
    _, _, loss_BG = _project(np.exp(tried_BG), log_K, y_KB, w_KB, E_max)
    at_B1 = loss_BG.argmin(1)[:, None]
    return np.take_along_axis(np.broadcast_to(tried_BG, loss_BG.shape), at_B1, axis=1)


def _project(
    alpha_BG: Doubles, log_K: Doubles, y_KB: Doubles, w_KB: Doubles, E_max: float
) -> tuple[Doubles, Doubles, Doubles]:
    """The best E in [0, E_max] and A ≥ 0 at each exponent, and their loss; each (B, G).

    A is at the smallest x here, so that nothing overflows. All arrays are K × B × G or broadcast
    to it: sums over the first axis are the fast ones.
    """
    decay = np.expm1(-alpha_BG * log_K)  # x^−α − 1: near 0, exact for a small α
    total = w_KB.sum(0)
    y_mean = (w_KB * y_KB).sum(0) / total
    decay_mean = (w_KB * decay).sum(0) / total

    centred = decay - decay_mean
    weighted = w_KB * centred
    A = _ratio((weighted * y_KB).sum(0), (weighted * centred).sum(0))
    E_free = y_mean - A * (1 + decay_mean)
    E = np.clip(E_free, 0, E_max)

    # A convex problem is solved on a bound that its free solution breaks.
    decay += 1
    weighted = w_KB * decay
    A_bound = _ratio((weighted * (y_KB - E)).sum(0), (weighted * decay).sum(0))
    rises = A <= 0
    A = np.where(rises, 0.0, np.where(E_free == E, A, np.maximum(A_bound, 0)))
    E = np.where(rises, np.minimum(y_mean, E_max), E)

    miss = y_KB - E - A * decay
    return E, A, (w_KB * miss**2).sum(0)


def _pool(x: Doubles, y: Doubles, weights: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Runs at the same x become their weighted mean: the loss changes by a constant only."""
    x_K, at_N = np.unique(x, return_inverse=True)
    member_KN = np.eye(len(x_K))[:, at_N]
    w_KB = member_KN @ weights.T
    return x_K, _ratio(member_KN @ (weights * y).T, w_KB), w_KB


def _ratio(top: Doubles, bottom: Doubles) -> Doubles:
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


def _checked(
    x: Floats, y: Floats, weights: Floats, E_max: float
) -> tuple[Doubles, Doubles, Doubles]:
    x, y, weights = (np.asarray(a, dtype=np.float64) for a in (x, y, weights))
    if x.ndim != 1 or y.ndim != 2 or y.shape != weights.shape or y.shape[1:] != x.shape:
        raise ValueError(
            f"solve needs x (N,), y and weights (B, N); got {x.shape}, {y.shape}, {weights.shape}"
        )
    if not (len(x) and np.isfinite(x).all() and (x > 0).all()):
        raise ValueError("x must be positive and finite; leave out size 0")
    _require_errors(y, E_max)
    if not ((weights >= 0).all() and (weights.sum(1) > 0).all()):
        raise ValueError("weights must not be negative, nor all zero in a row")
    return x, y, weights


def _require_errors(y: Floats, E_max: float) -> None:
    if not ((y >= 0) & (y <= (1 if E_max == 1 else np.inf))).all():
        raise ValueError(
            "y must be errors in [0, 1]; give 1 − accuracy as a fraction, not percent, or an E_max "
            "above the losses that these are"
        )
