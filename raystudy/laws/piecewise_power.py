"""Few shots bend, many are straight: log y is a parabola in log x up to d and a line beyond it.

The piecewise power law (PPL) of Jain et al. 2023 (arXiv 2303.01598): in their few-shot regime log y
is quadratic in log x, in the high-shot regime it is a power law. Here the two meet at d with one
value and one slope, so that a curve has four parameters:
log y = log A − α·log x + c·min(log x − log d, 0)².
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from raystudy.kinds import Floats, Law
from raystudy.laws.arrays import Doubles, each, product_of_grids, require_positive, stacked


class PiecewisePower(Law):
    """A > 0 and α in [−20, 20] are of the line; c, in [−20, 20], how the curve leaves it below
    d > 0. x > 0."""

    parameters: ClassVar[tuple[str, ...]] = ("A", "alpha", "c", "d")
    linear: ClassVar[tuple[str, ...]] = ("A",)
    logarithmic: ClassVar[tuple[str, ...]] = ("A", "d")

    @property
    def name(self) -> str:
        return "A·x^−α·exp(c·min(ln(x/d), 0)²)"

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        return (0.0, np.inf), (-20.0, 20.0), (-20.0, 20.0), (0.0, np.inf)

    def check(self, x: Floats, y: Floats) -> None:
        require_positive(x, self.inputs)

    def predict(self, x: Floats, parameters: Floats) -> Doubles:
        A, alpha, c, d = each(parameters)
        below = np.minimum(np.log(x) - np.log(d), 0)
        return A * np.exp(c * below**2 - alpha * np.log(x))

    def jacobian(self, x: Floats, parameters: Floats) -> Doubles:
        A, alpha, c, d = each(parameters)
        log_x = np.log(x)
        below = np.minimum(log_x - np.log(d), 0)
        unit = np.exp(c * below**2 - alpha * log_x)
        y = A * unit
        return stacked(unit, -log_x * y, below**2 * y, -2 * c * below / d * y)

    def starts(self, x: Floats, y: Floats) -> Doubles:
        places = np.quantile(np.log(x), [0.25, 0.5, 0.75, 1.0])
        return product_of_grids(np.nan, [0.1, 0.5], [-0.1, 0.05], np.exp(places))
