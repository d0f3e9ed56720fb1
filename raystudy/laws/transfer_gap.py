"""Pre-training that levels off at a gap: L = D·n^−α + C (Mikami et al. 2021, arXiv 2108.11018, for
a fixed fine-tuning set; C is the transfer gap, which no pre-training data closes)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from raystudy.kinds import Floats, Law
from raystudy.laws.arrays import Doubles, each, require_positive, stacked


class TransferGap(Law):
    """n > 0 is the size of the pre-training set. D > 0; α in [0, 5]; C ≥ 0. The authors fix
    D = 0.48 (``fixed`` of ``raystudy.laws.fit``) and take least squares on the error itself."""

    inputs: ClassVar[tuple[str, ...]] = ("n",)
    parameters: ClassVar[tuple[str, ...]] = ("D", "alpha", "C")
    linear: ClassVar[tuple[str, ...]] = ("D", "C")
    logarithmic: ClassVar[tuple[str, ...]] = ("D",)
    loss: ClassVar[str] = "y"

    @property
    def name(self) -> str:
        return "D·n^−α + C"

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        return (0.0, np.inf), (0.0, 5.0), (0.0, np.inf)

    def check(self, x: Floats, y: Floats) -> None:
        require_positive(x, self.inputs)

    def predict(self, x: Floats, parameters: Floats) -> Doubles:
        D, alpha, C = each(parameters)
        return D * np.exp(-alpha * np.log(x)) + C

    def jacobian(self, x: Floats, parameters: Floats) -> Doubles:
        D, alpha, _ = each(parameters)
        log_n = np.log(x)
        decay = np.exp(-alpha * log_n)
        return stacked(decay, -D * decay * log_n, 1.0)

    def starts(self, x: Floats, y: Floats) -> Doubles:
        return np.array([[np.nan, alpha, np.nan] for alpha in (0.05, 0.2, 0.5, 1.0)])
