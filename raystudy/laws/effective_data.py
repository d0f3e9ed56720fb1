"""Effective data transferred: D_T = k·D_F^α·N^β (Hernandez et al. 2021, arXiv 2102.01293)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from raystudy.kinds import Floats, Law
from raystudy.laws.arrays import Doubles, columns, each, require_positive, stacked


class EffectiveData(Law):
    """``x`` holds D_F (fine-tuning data) and N (parameters without embeddings), both positive; y is
    D_T > 0, what pre-training was worth in fine-tuning data. k > 0; α measures how near the two
    distributions are (smaller is nearer), β how far the model generalises.

    It holds where D_F is at most a tenth of what brings a model of size N to 99 % of its best.
    """

    inputs: ClassVar[tuple[str, ...]] = ("D_F", "N")
    parameters: ClassVar[tuple[str, ...]] = ("k", "alpha", "beta")
    linear: ClassVar[tuple[str, ...]] = ("k",)
    logarithmic: ClassVar[tuple[str, ...]] = ("k",)

    @property
    def name(self) -> str:
        return "k·D_F^α·N^β"

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        return (0.0, np.inf), (-5.0, 5.0), (-5.0, 5.0)

    def check(self, x: Floats, y: Floats) -> None:
        require_positive(x, self.inputs)

    def predict(self, x: Floats, parameters: Floats) -> Doubles:
        k, alpha, beta = each(parameters)
        log_F, log_N = (np.log(values) for values in columns(x))
        return k * np.exp(alpha * log_F + beta * log_N)

    def jacobian(self, x: Floats, parameters: Floats) -> Doubles:
        k, alpha, beta = each(parameters)
        log_F, log_N = (np.log(values) for values in columns(x))
        grown = np.exp(alpha * log_F + beta * log_N)
        return stacked(grown, k * grown * log_F, k * grown * log_N)

    def starts(self, x: Floats, y: Floats) -> Doubles:
        return np.array([[np.nan, 0.2, 0.4], [np.nan, 0.8, 0.8]])

    def multiplier(self, x: Floats, parameters: Floats) -> Doubles:
        """(D_F + D_T)/D_F: how many times its size the fine-tuning data is worth. (…, N)"""
        return 1 + self.predict(x, parameters) / columns(x)[0]
