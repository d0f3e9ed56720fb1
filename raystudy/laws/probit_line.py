"""Accuracy on the line: Φ⁻¹(y) = a + b·Φ⁻¹(x), x and y accuracies in and out of distribution
(Taori et al. 2020, arXiv 2007.00644; Miller et al. 2021, arXiv 2107.04649)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from raystudy.kinds import Floats, Law
from raystudy.laws.arrays import Doubles, each, stacked


class ProbitLine(Law):
    """``x`` and y are shares in (0, 1), not percent. b is the slope of the line, a where it crosses
    x = ½. Look at R² (``Fit.r_squared``) before using one: it is 0.999 for ImageNetV2 and 0.42 for
    ImageNet-A."""

    parameters: ClassVar[tuple[str, ...]] = ("a", "b")
    loss: ClassVar[str] = "probit"

    @property
    def name(self) -> str:
        return "Φ(a + b·Φ⁻¹(x))"

    def check(self, x: Floats, y: Floats) -> None:
        for name, values in (("x", x), ("y", y)):
            if not ((values > 0) & (values < 1)).all():
                raise ValueError(f"{name} must be accuracies in (0, 1), as a share and not percent")

    def predict(self, x: Floats, parameters: Floats) -> Doubles:
        from scipy.special import ndtr, ndtri  # here, so that importing raystudy stays fast

        a, b = each(parameters)
        return ndtr(a + b * ndtri(x))

    def jacobian(self, x: Floats, parameters: Floats) -> Doubles:
        from scipy.special import ndtri

        a, b = each(parameters)
        at = ndtri(x)
        density = np.exp(-0.5 * (a + b * at) ** 2) / np.sqrt(2 * np.pi)
        return stacked(density, density * at)

    def starts(self, x: Floats, y: Floats) -> Doubles:
        return np.array([[0.0, 1.0]])
