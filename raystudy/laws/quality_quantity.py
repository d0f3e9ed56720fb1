"""Data loses its use as it repeats: the quality–quantity trade-off of Goyal et al. 2024
(arXiv 2404.07177), y = E + A·n_1^−α·Π (n_j/n_(j−1))^(−α·2^(−(j−1)/τ)).

n_j is what has been seen by the end of epoch j: each epoch, the exponent of what is seen in it has
halved ``1/τ`` times more.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from raystudy.kinds import Floats, Law
from raystudy.laws.arrays import Doubles, columns, each, product_of_grids, require_positive, stacked

MAX_EPOCHS = 1000


class QualityQuantity(Law):
    """``x`` holds n (samples seen) and U (samples in the pool), both positive, n ≤ 1000·U. α in
    [0, 5] is the utility of the pool (its quality), τ > 0 the epochs after which that has halved;
    A > 0, E ≥ 0."""

    inputs: ClassVar[tuple[str, ...]] = ("n", "U")
    parameters: ClassVar[tuple[str, ...]] = ("E", "A", "alpha", "tau")
    linear: ClassVar[tuple[str, ...]] = ("E", "A")
    logarithmic: ClassVar[tuple[str, ...]] = ("A", "tau")

    @property
    def name(self) -> str:
        return "E + A·Π (n_j/n_(j−1))^(−α·2^(−(j−1)/τ))"

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        return (0.0, np.inf), (0.0, np.inf), (0.0, 5.0), (1e-2, 1e6)

    def check(self, x: Floats, y: Floats) -> None:
        require_positive(x, self.inputs)
        n, U = columns(x)
        if (n > MAX_EPOCHS * U).any():
            raise ValueError(f"n must not exceed {MAX_EPOCHS} times U, the size of the pool")

    def predict(self, x: Floats, parameters: Floats) -> Doubles:
        E, A, alpha, tau = each(parameters)
        return E + A * np.exp(-alpha * _seen(x, tau)[0])

    def jacobian(self, x: Floats, parameters: Floats) -> Doubles:
        _, A, alpha, tau = each(parameters)
        seen, by_tau = _seen(x, tau)
        decay = np.exp(-alpha * seen)
        return stacked(1.0, decay, -A * decay * seen, -A * decay * alpha * by_tau)

    def starts(self, x: Floats, y: Floats) -> Doubles:
        return product_of_grids(np.nan, np.nan, [0.05, 0.2, 0.6], [1.0, 5.0, 25.0])


def _seen(x: Floats, tau: Doubles) -> tuple[Doubles, Doubles]:
    """Σ_j 2^(−(j−1)/τ)·log(n_j/n_(j−1)), with n_0 = 1, and its slope in τ: (…, N) both."""
    n, U = columns(x)
    total = np.broadcast_to(np.log(np.minimum(n, U)), np.broadcast_shapes(tau.shape, n.shape))
    total, slope = total.copy(), np.zeros(total.shape)
    for j in range(1, int(np.ceil(np.max(n / U) - 1e-9))):
        step = np.log(np.clip(n, j * U, (j + 1) * U) / (j * U))
        halved = 2.0 ** (-j / tau)
        total += halved * step
        slope += halved * (j * np.log(2) / tau**2) * step
    return total, slope
