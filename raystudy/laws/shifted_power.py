"""A power law of a shifted size: y = A·(1/x + γ)^α (M3 of Alabdulmohsin et al. 2022,
arXiv 2209.06640, who follow Bansal et al. 2022)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from raystudy.kinds import Floats, Law
from raystudy.laws.arrays import Doubles, each, product_of_grids, require_positive, stacked


class ShiftedPower(Law):
    """γ ≥ 0 is what stays when data is without end, where y is A·γ^α; A > 0, α in [0, 20]. x > 0.

    Of the paper's β(x^−1 + γ)^c, β is A and c is α.
    """

    parameters: ClassVar[tuple[str, ...]] = ("A", "gamma", "alpha")
    linear: ClassVar[tuple[str, ...]] = ("A",)
    logarithmic: ClassVar[tuple[str, ...]] = ("A",)

    @property
    def name(self) -> str:
        return "A·(1/x + γ)^α"

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        return (0.0, np.inf), (0.0, np.inf), (0.0, 20.0)

    def check(self, x: Floats, y: Floats) -> None:
        require_positive(x, self.inputs)

    def predict(self, x: Floats, parameters: Floats) -> Doubles:
        A, gamma, alpha = each(parameters)
        return A * (1 / x + gamma) ** alpha

    def jacobian(self, x: Floats, parameters: Floats) -> Doubles:
        A, gamma, alpha = each(parameters)
        base = 1 / x + gamma
        grown = base**alpha
        return stacked(grown, A * alpha * grown / base, A * grown * np.log(base))

    def starts(self, x: Floats, y: Floats) -> Doubles:
        shifts = np.array([0.0, 0.1, 0.5, 2.0, 10.0]) / np.max(x)
        return product_of_grids(np.nan, shifts, [0.1, 0.4, 1.2, 4.0])
