"""Size under label noise: y = E + A·(n·(1 − r)^q)^−α.

A share r of wrong labels makes n examples worth n·(1 − r)^q clean ones: noise moves the curve along
log n and leaves its exponent as it is, which is what Bansal et al. 2022 (arXiv 2202.01994) find for
independent noise. q = 1 is noise that costs its own examples and no more; two classes that are
swapped at rate r carry (1 − 2r)² of the information, which is q = 4 for a small r. The effective
size is that of Hernandez et al. 2021 (arXiv 2102.01293), with cleanliness in place of transfer.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from raystudy.kinds import Floats, Law
from raystudy.laws.arrays import Doubles, columns, each, product_of_grids, require_positive, stacked


class NoisySize(Law):
    """``x`` holds n > 0 and the share r of corrupted labels, in [0, 1). q in [0, 20]; E ≥ 0;
    A > 0; α in [0, 5]. Cleaning a set of rate r is worth (1 − r)^−q times its size."""

    inputs: ClassVar[tuple[str, ...]] = ("n", "r")
    parameters: ClassVar[tuple[str, ...]] = ("E", "A", "alpha", "q")
    linear: ClassVar[tuple[str, ...]] = ("E", "A")
    logarithmic: ClassVar[tuple[str, ...]] = ("A",)

    @property
    def name(self) -> str:
        return "E + A·(n·(1−r)^q)^−α"

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        return (0.0, np.inf), (0.0, np.inf), (0.0, 5.0), (0.0, 20.0)

    def check(self, x: Floats, y: Floats) -> None:
        n, r = columns(x)
        require_positive(n, self.inputs[:1])
        if not ((r >= 0) & (r < 1)).all():
            raise ValueError("r must be a share in [0, 1) of corrupted labels")

    def predict(self, x: Floats, parameters: Floats) -> Doubles:
        E, A, alpha, q = each(parameters)
        log_n, log_clean = _logs(x)
        return E + A * np.exp(-alpha * (log_n + q * log_clean))

    def jacobian(self, x: Floats, parameters: Floats) -> Doubles:
        _, A, alpha, q = each(parameters)
        log_n, log_clean = _logs(x)
        worth = log_n + q * log_clean
        decay = np.exp(-alpha * worth)
        return stacked(1.0, decay, -A * decay * worth, -A * decay * alpha * log_clean)

    def starts(self, x: Floats, y: Floats) -> Doubles:
        return product_of_grids(np.nan, np.nan, [0.1, 0.4, 1.2], [0.5, 2.0, 6.0])


def _logs(x: Floats) -> tuple[Doubles, Doubles]:
    n, r = columns(x)
    return np.log(n), np.log1p(-r)
