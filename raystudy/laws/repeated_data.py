"""Data that repeats: Chinchilla over effective sizes (Muennighoff et al. 2023, arXiv 2305.16264).

    L = E + A/N'^α + B/D'^β,   D' = U + U·R_D·(1 − e^(−(D/U − 1)/R_D)),
    N' = V + V·R_N·(1 − e^(−(N/V − 1)/R_N)),   V = min(N, the N that is optimal for U)

The N that is optimal for D data is G·(G·D)^(β/α) with G = (αA/βB)^(1/(α+β)).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from raystudy.kinds import Floats, Law
from raystudy.laws.arrays import Doubles, columns, each, product_of_grids, require_positive, stacked
from raystudy.laws.linear import box_least_squares


class RepeatedData(Law):
    """``x`` holds N (parameters), D (tokens seen) and U (unique tokens), U ≤ D, all positive. R_D
    and R_N > 0 are how many repetitions, and how much more than optimal a model, are worth having:
    e-folds after which a repeated token, or an excess parameter, counts 1/e.

    The paper takes E, A, α, B, β from runs that repeat nothing (``fixed`` of ``raystudy.laws.fit``)
    and fits R_D and R_N with loss ``huber``; that objective has more than one minimum.
    """

    inputs: ClassVar[tuple[str, ...]] = ("N", "D", "U")
    parameters: ClassVar[tuple[str, ...]] = ("E", "A", "alpha", "B", "beta", "R_D", "R_N")
    linear: ClassVar[tuple[str, ...]] = ("E",)
    logarithmic: ClassVar[tuple[str, ...]] = ("A", "B", "R_D", "R_N")

    @property
    def name(self) -> str:
        return "E + A/N'^α + B/D'^β"

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        positive = (0.0, np.inf)
        return positive, positive, (1e-3, 5.0), positive, (1e-3, 5.0), (1e-6, 1e6), (1e-6, 1e6)

    def check(self, x: Floats, y: Floats) -> None:
        require_positive(x, self.inputs)
        _, D, U = columns(x)
        if (U > D * (1 + 1e-9)).any():
            raise ValueError("U, the unique tokens, must not exceed D, the tokens seen")

    def predict(self, x: Floats, parameters: Floats) -> Doubles:
        N, D, U = columns(x)
        E, A, alpha, B, beta, R_D, R_N = each(parameters)
        log_V, _ = _base(N, U, A, alpha, B, beta)
        with np.errstate(divide="ignore"):
            size = np.log(A) - alpha * (log_V + np.log1p(_worth(N / np.exp(log_V) - 1, R_N)[0]))
            data = np.log(B) - beta * (np.log(U) + np.log1p(_worth(D / U - 1, R_D)[0]))
        return E + np.exp(size) + np.exp(data)

    def jacobian(self, x: Floats, parameters: Floats) -> Doubles:
        N, D, U = columns(x)
        _, A, alpha, B, beta, R_D, R_N = each(parameters)
        log_V, capped = _base(N, U, A, alpha, B, beta)
        excess = N / np.exp(log_V) - 1
        of_N, by_R_N, fresh = _worth(excess, R_N)
        of_D, by_R_D, _ = _worth(D / U - 1, R_D)
        log_N, log_D = log_V + np.log1p(of_N), np.log(U) + np.log1p(of_D)
        size, data = np.exp(-alpha * log_N), np.exp(-beta * log_D)

        # What moves the optimal N moves N' with it, where the model is larger than that.
        by_V = (1 - fresh * (excess + 1) / (1 + of_N)) * capped
        total = alpha + beta
        log_G = np.log(alpha * A / (beta * B)) / total
        ratio, sum_of_logs = 1 + beta / alpha, log_G + np.log(U)
        V_by_A, V_by_B = ratio / (A * total), -ratio / (B * total)
        V_by_alpha = ratio * (1 / alpha - log_G) / total - beta / alpha**2 * sum_of_logs
        V_by_beta = ratio * (-1 / beta - log_G) / total + sum_of_logs / alpha
        by_log_N = -alpha * A * size
        through_V = by_log_N * by_V
        return stacked(
            1.0,
            size + through_V * V_by_A,
            -A * size * log_N + through_V * V_by_alpha,
            data + through_V * V_by_B,
            -B * data * log_D + through_V * V_by_beta,
            -beta * B * data * by_R_D / (1 + of_D),
            by_log_N * by_R_N / (1 + of_N),
        )

    def starts(self, x: Floats, y: Floats) -> Doubles:
        """R_D and R_N from a grid; E, A and B as if four passes were new and the rest nothing."""
        N, D, U = columns(x)
        target = np.asarray(y, dtype=np.float64)
        found = []
        for exponent in (0.2, 0.35, 0.55):
            terms = np.stack([np.ones_like(N), N**-exponent, np.minimum(D, 4 * U) ** -exponent])
            low, high = np.zeros(3), np.full(3, np.inf)
            by_y = 1 / target[None] ** 2
            level = box_least_squares(terms[None], target[None], by_y, low, high)[0]
            typical = np.ptp(target) * np.median(x[:, :2], axis=0) ** exponent
            A, B = np.where(level[1:] > 0, level[1:], 0.1 * typical)
            worths = product_of_grids([2.0, 8.0, 30.0, 120.0], [1.0, 4.0, 16.0])
            found += [(np.nan, A, exponent, B, exponent, *worth) for worth in worths]
        return np.array(found)


def _worth(repeats: Doubles, R: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """R·(1 − e^(−r/R)), its slope in R, and its slope in r."""
    fresh = np.exp(-repeats / R)
    lost = -np.expm1(-repeats / R)
    return R * lost, lost - repeats / R * fresh, fresh


def _base(N, U, A, alpha, B, beta) -> tuple[Doubles, Doubles]:
    """log V, and where it is the optimal N rather than N."""
    log_G = np.log(alpha * A / (beta * B)) / (alpha + beta)
    optimal = log_G + beta / alpha * (log_G + np.log(U))
    return np.minimum(optimal, np.log(N)), optimal < np.log(N)
