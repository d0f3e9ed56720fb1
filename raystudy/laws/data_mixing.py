"""Mixtures of domains: L = c + k·exp(Σ t_j·r_j) (data mixing laws, Ye et al. 2024,
arXiv 2403.16952). r_j is the share of domain j."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from raystudy.kinds import Floats, Law
from raystudy.laws.arrays import Doubles, columns, each, product_of_grids, stacked


class DataMixing(Law):
    """``x`` holds the shares r_1 … r_J of ``num_domains`` domains, in [0, 1]. c ≥ 0; k > 0.

    Shares of all domains sum to 1, and then a constant added to every t is a factor of k: give all
    domains but one, whose t is 0.
    """

    linear: ClassVar[tuple[str, ...]] = ("c", "k")
    logarithmic: ClassVar[tuple[str, ...]] = ("k",)
    num_domains: Annotated[int, Field(ge=1)] = 1

    @property
    def inputs(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return tuple(f"r{j}" for j in range(1, self.num_domains + 1))

    @property
    def parameters(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return ("c", "k", *(f"t{j}" for j in range(1, self.num_domains + 1)))

    @property
    def name(self) -> str:
        return "c + k·exp(Σ t·r)"

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        return ((0.0, np.inf), (0.0, np.inf), *((-50.0, 50.0),) * self.num_domains)

    def check(self, x: Floats, y: Floats) -> None:
        shares = np.stack(columns(x), axis=1)
        if not ((shares >= 0) & (shares <= 1)).all():
            raise ValueError("r must be shares in [0, 1]")
        if np.allclose(shares.sum(1), 1, atol=1e-6):
            raise ValueError("the shares of every run sum to 1; leave one domain out, its t is 0")

    def predict(self, x: Floats, parameters: Floats) -> Doubles:
        c, k, *ts = each(parameters)
        return c + k * _pull(x, ts)

    def jacobian(self, x: Floats, parameters: Floats) -> Doubles:
        _, k, *ts = each(parameters)
        pull = _pull(x, ts)
        return stacked(1.0, pull, *(k * pull * r for r in columns(x)))

    def starts(self, x: Floats, y: Floats) -> Doubles:
        """c as a share of the least y; the rest by a line through log(y − c)."""
        shares = np.stack([np.ones(len(y)), *columns(x)], axis=1)
        found = []
        for level in (0.0, 0.5, 0.9):
            line = np.linalg.lstsq(shares, np.log(y - level * np.min(y)), rcond=None)[0]
            found.append([np.nan, np.nan, *np.clip(line[1:], -20, 20)])
        signs = product_of_grids(*[[-2.0, 2.0]] * min(self.num_domains, 3))
        rest = np.zeros((len(signs), self.num_domains - signs.shape[1]))
        corners = np.hstack([np.full((len(signs), 2), np.nan), signs, rest])
        return np.vstack([np.array(found), corners])


def _pull(x: Floats, ts: list[Doubles]) -> Doubles:
    return np.exp(sum((t * r for t, r in zip(ts, columns(x), strict=True)), start=np.float64(0)))
