"""How far a run lies from a curve: on which scale, and how much a far one counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from raystudy.laws.arrays import Doubles

Scale = Literal["y", "log", "log1p", "probit"]


def _probit(y: Doubles) -> Doubles:
    from scipy.special import ndtri  # here, so that importing raystudy stays fast

    return ndtri(y)


def _probit_slope(y: Doubles) -> Doubles:
    return np.sqrt(2 * np.pi) * np.exp(0.5 * _probit(y) ** 2)


def _from_probit(value: Doubles) -> Doubles:
    from scipy.special import ndtr

    return ndtr(value)


Map = Callable[[Doubles], Doubles]
SCALES: dict[str, tuple[Map, Map, Map]] = {
    "y": (lambda y: y, np.ones_like, lambda v: v),
    "log": (np.log, np.reciprocal, np.exp),
    "log1p": (np.log1p, lambda y: 1 / (1 + y), np.expm1),
    "probit": (_probit, _probit_slope, _from_probit),
}


@dataclass(frozen=True)
class Loss:
    """The sum over runs of weight · ρ(r), where r = scale(curve) − scale(y).

    ρ(r) is ½r², or Huber's ½r² within ``delta`` and delta·(|r| − ½delta) beyond. Runs above the
    curve count ``above`` times: less than 1 makes allowance for small rungs that were tuned less
    than they could be, and lie too high.
    """

    scale: Scale = "log"
    delta: float | None = None
    above: float = 1.0

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise ValueError(f"no loss on '{self.scale}'; scales: {', '.join(SCALES)}")
        if not (self.above > 0 and (self.delta is None or self.delta > 0)):
            raise ValueError("delta and above of a loss must be positive")

    @property
    def is_least_squares_on_y(self) -> bool:
        return self == Loss("y")

    def forward(self, y: Doubles) -> Doubles:
        """y on the loss's scale; not finite for what has no place there."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return SCALES[self.scale][0](y)

    def slope(self, y: Doubles) -> Doubles:
        """The derivative of ``forward``."""
        return SCALES[self.scale][1](y)

    def backward(self, value: Doubles) -> Doubles:
        """The inverse of ``forward``."""
        return SCALES[self.scale][2](value)

    def rho(self, r: Doubles) -> Doubles:
        near = r if self.delta is None else np.clip(r, -self.delta, self.delta)
        cost = near * (r - 0.5 * near)
        return cost if self.above == 1 else cost * self._side(r)

    def slopes(self, r: Doubles, caution: Doubles) -> tuple[Doubles, Doubles]:
        """ρ', and what stands in for ρ'': 1 within ``delta``; beyond it, ``caution`` in [0, 1]
        times the weight delta/|r| of iteratively reweighted least squares. With 1 a step always
        descends, with 0 it is Newton's."""
        psi, curved = r, np.ones_like(r)
        if self.delta is not None:
            psi = np.clip(r, -self.delta, self.delta)
            beyond = psi != r
            np.multiply(psi, caution, out=curved, where=beyond)
            np.divide(curved, r, out=curved, where=beyond)
        if self.above == 1:
            return psi, curved
        side = self._side(r)
        return psi * side, curved * side

    def _side(self, r: Doubles) -> Doubles:
        return np.where(r < 0, self.above, 1.0)


HUBER = Loss("log", delta=1e-3)
"""Of Hoffmann et al. 2022 and Muennighoff et al. 2023."""


def named(loss: Loss | str) -> Loss:
    """A loss by name: ``log``, ``y``, ``log1p``, ``probit`` for least squares on that scale, or
    ``huber`` for Huber's on log residuals with δ = 0.001."""
    if isinstance(loss, Loss):
        return loss
    return HUBER if loss == "huber" else Loss(loss)  # type: ignore[arg-type]
