"""A power law without end: y = A·x^−α (M1 of Alabdulmohsin et al. 2022, arXiv 2209.06640)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from raystudy.kinds import Floats, Law
from raystudy.laws.arrays import Doubles, each, require_positive, stacked


class Power(Law):
    """A > 0 is y at x = 1; α, of either sign, how fast it falls. x > 0.

    Of the papers' βx^c, β is A and c is −α.
    """

    parameters: ClassVar[tuple[str, ...]] = ("A", "alpha")
    linear: ClassVar[tuple[str, ...]] = ("A",)
    logarithmic: ClassVar[tuple[str, ...]] = ("A",)

    @property
    def name(self) -> str:
        return "A·x^−α"

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        return (0.0, np.inf), (-20.0, 20.0)

    def check(self, x: Floats, y: Floats) -> None:
        require_positive(x, self.inputs)

    def predict(self, x: Floats, parameters: Floats) -> Doubles:
        A, alpha = each(parameters)
        return A * np.exp(-alpha * np.log(x))

    def jacobian(self, x: Floats, parameters: Floats) -> Doubles:
        A, alpha = each(parameters)
        log_x = np.log(x)
        decay = np.exp(-alpha * log_x)
        return stacked(decay, -A * decay * log_x)

    def starts(self, x: Floats, y: Floats) -> Doubles:
        return np.array([[np.nan, alpha] for alpha in (0.05, 0.3, 1.0)])
