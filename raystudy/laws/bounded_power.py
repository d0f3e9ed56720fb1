"""A power law between two levels: (y − E)/(E0 − y)^κ = A·x^−α.

M4 of Alabdulmohsin, Neyshabur and Zhai, "Revisiting Neural Scaling Laws in Language and Vision"
(2022, arXiv 2209.06640): an error starts from chance, falls as a power law, and levels off.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from raystudy.kinds import Floats, Law
from raystudy.laws.arrays import Doubles, each, require_positive, stacked

KAPPA_MIN = 1e-6
NUM_NEWTON = 60


class BoundedPower(Law):
    """y lies between E ≥ 0, where no data removes more, and E0 > E, the level of chance. κ in
    [1e-6, 100] is how long it lingers there: near 0 it is E + A·x^−α. A > 0, α in [0, 20]. x > 0.

    Of the paper's (y − ε∞)/(ε0 − y)^α = βx^c, ε∞ is E, ε0 is E0, α is κ, β is A and c is −α.
    """

    parameters: ClassVar[tuple[str, ...]] = ("E", "A", "alpha", "kappa", "E0")
    logarithmic: ClassVar[tuple[str, ...]] = ("A", "E0")
    chance: Annotated[float, Field(gt=0)] | None = None
    """E0 where it is known, as 1 − 1/C for C balanced classes."""

    @property
    def name(self) -> str:
        return "(y − E)/(E0 − y)^κ = A·x^−α"

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        chance = (self.chance, self.chance) if self.chance else (0.0, np.inf)
        return (0.0, np.inf), (0.0, np.inf), (0.0, 20.0), (KAPPA_MIN, 100.0), chance

    def check(self, x: Floats, y: Floats) -> None:
        require_positive(x, self.inputs)
        if self.chance and np.min(y) >= self.chance:
            raise ValueError(f"every y is at or above chance, {self.chance:g}")

    def predict(self, x: Floats, parameters: Floats) -> Doubles:
        E, A, alpha, kappa, E0 = each(parameters)
        span = E0 - E
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = np.log(A) - (1 - kappa) * np.log(span) - alpha * np.log(x)
        return E + span * _share(reach, np.broadcast_to(kappa, reach.shape))

    def jacobian(self, x: Floats, parameters: Floats) -> Doubles:
        E, A, _, kappa, E0 = each(parameters)
        y = self.predict(x, parameters)
        above = np.maximum(y - E, 0)
        below = np.maximum(E0 - y, np.finfo(float).tiny)
        total = below + kappa * above
        give = above * below / total  # by the implicit function theorem
        return stacked(
            below / total,
            give / A,
            -give * np.log(x),
            give * np.log(below),
            kappa * above / total,
        )

    def starts(self, x: Floats, y: Floats) -> Doubles:
        """E, κ and E0 from a grid; A and α by a straight line through the transformed runs."""
        log_x, y = np.log(x), np.asarray(y, dtype=np.float64)
        low, high = y.min(), y.max()
        ceilings = [self.chance] if self.chance else [1.001 * high, 1.05 * high, 1.5 * high]
        found = []
        for E in (0.0, 0.6 * low, 0.95 * low):
            for E0 in ceilings:
                inside = (y > E) & (y < E0)
                if np.ptp(log_x[inside]) == 0 if inside.any() else True:
                    continue
                for kappa in (0.05, 0.7, 3.0):
                    raised = np.log(y - E, where=inside, out=np.zeros_like(y))
                    raised -= kappa * np.log(E0 - y, where=inside, out=np.zeros_like(y))
                    slope, start = np.polyfit(log_x[inside], raised[inside], 1)
                    found.append((E, np.exp(start), max(-slope, 1e-3), kappa, E0))
        return np.array(found)


def _share(reach: Doubles, kappa: Doubles) -> Doubles:
    """σ(s) where log σ(s) − κ log σ(−s) = reach, by Newton's method: the left side is increasing
    and either convex or concave, so no step leads astray."""
    s = np.where(reach < 0, reach, reach / kappa)
    share = np.ones_like(s)
    for _ in range(NUM_NEWTON):
        tail = np.exp(-np.abs(s))
        rest = np.log1p(tail)
        share = np.where(s > 0, 1.0, tail) / (1 + tail)
        gap = np.minimum(s, 0) - rest - kappa * (np.minimum(-s, 0) - rest) - reach
        step = gap / (1 - share + kappa * share)
        s = s - step
        if not (np.abs(step) > 1e-10 * (1 + np.abs(s))).any():  # the next error is its square
            break
    tail = np.exp(-np.abs(s))
    return np.where(s > 0, 1.0, tail) / (1 + tail)
