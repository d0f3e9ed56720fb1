"""Parameters and data together: L = E + A/N^α + B/D^β (Hoffmann et al. 2022, arXiv 2203.15556,
their third approach)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from raystudy.kinds import Floats, Law
from raystudy.laws.arrays import Doubles, columns, each, product_of_grids, require_positive, stacked


class Chinchilla(Law):
    """``x`` holds N (parameters of the model) and D (examples or tokens), both positive. E ≥ 0 is
    what neither removes; A, B > 0; α, β in [0, 5].

    The paper's loss is ``huber`` (of log residuals, δ = 0.001).
    """

    inputs: ClassVar[tuple[str, ...]] = ("N", "D")
    parameters: ClassVar[tuple[str, ...]] = ("E", "A", "alpha", "B", "beta")
    linear: ClassVar[tuple[str, ...]] = ("E", "A", "B")
    logarithmic: ClassVar[tuple[str, ...]] = ("A", "B")

    @property
    def name(self) -> str:
        return "E + A/N^α + B/D^β"

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        return (0.0, np.inf), (0.0, np.inf), (0.0, 5.0), (0.0, np.inf), (0.0, 5.0)

    def check(self, x: Floats, y: Floats) -> None:
        require_positive(x, self.inputs)

    def predict(self, x: Floats, parameters: Floats) -> Doubles:
        N, D = columns(x)
        E, A, alpha, B, beta = each(parameters)
        with np.errstate(divide="ignore"):
            of_size = np.exp(np.log(A) - alpha * np.log(N))
            return E + of_size + np.exp(np.log(B) - beta * np.log(D))

    def jacobian(self, x: Floats, parameters: Floats) -> Doubles:
        log_N, log_D = (np.log(values) for values in columns(x))
        _, A, alpha, B, beta = each(parameters)
        of_N, of_D = np.exp(-alpha * log_N), np.exp(-beta * log_D)
        return stacked(1.0, of_N, (-A * of_N) * log_N, of_D, (-B * of_D) * log_D)

    def starts(self, x: Floats, y: Floats) -> Doubles:
        exponents = [0.15, 0.35, 0.8]
        return product_of_grids(np.nan, np.nan, exponents, np.nan, exponents)
