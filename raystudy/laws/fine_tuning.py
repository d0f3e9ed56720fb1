"""Fine-tuning: L = E + A·X^−α·D^−β (Zhang et al. 2024, arXiv 2402.17193, their multiplicative joint
law). X is a size (of the model, of the pre-training data), D the fine-tuning data."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from raystudy.kinds import Floats, Law
from raystudy.laws.arrays import Doubles, columns, each, product_of_grids, require_positive, stacked


class FineTuning(Law):
    """``x`` holds X and D, both positive. E ≥ 0; A > 0; α, β in [0, 5]."""

    inputs: ClassVar[tuple[str, ...]] = ("X", "D")
    parameters: ClassVar[tuple[str, ...]] = ("E", "A", "alpha", "beta")
    linear: ClassVar[tuple[str, ...]] = ("E", "A")
    logarithmic: ClassVar[tuple[str, ...]] = ("A",)

    @property
    def name(self) -> str:
        return "E + A·X^−α·D^−β"

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        return (0.0, np.inf), (0.0, np.inf), (0.0, 5.0), (0.0, 5.0)

    def check(self, x: Floats, y: Floats) -> None:
        require_positive(x, self.inputs)

    def predict(self, x: Floats, parameters: Floats) -> Doubles:
        E, A, alpha, beta = each(parameters)
        log_X, log_D = (np.log(values) for values in columns(x))
        return E + A * np.exp(-alpha * log_X - beta * log_D)

    def jacobian(self, x: Floats, parameters: Floats) -> Doubles:
        _, A, alpha, beta = each(parameters)
        log_X, log_D = (np.log(values) for values in columns(x))
        decay = np.exp(-alpha * log_X - beta * log_D)
        return stacked(1.0, decay, -A * decay * log_X, -A * decay * log_D)

    def starts(self, x: Floats, y: Floats) -> Doubles:
        exponents = [0.05, 0.2, 0.6]
        return product_of_grids(np.nan, np.nan, exponents, exponents)
