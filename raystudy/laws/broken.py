"""A power law that bends: the smoothly broken neural scaling law (BNSL) of Caballero et al. 2022
(arXiv 2210.14891), y = a + b·x^−c0·Π (1 + (x/d_i)^(1/f_i))^(−c_i·f_i)."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from raystudy.kinds import Floats, Law
from raystudy.laws.arrays import Doubles, each, require_positive, stacked

PLACES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Where along log x breaks are looked for first."""


class Broken(Law):
    """With ``num_breaks`` breaks: the exponent is c0 at first and grows by c_i about x = d_i, over
    f_i e-folds of x. a ≥ 0 is the limit, b > 0, c_i in [−50, 50], f_i in [0.001, 20]. x > 0.

    A break needs several sizes on either side: what its parameters are otherwise is told by
    ``Fit.profile`` and not by the fit's small residuals.
    """

    linear: ClassVar[tuple[str, ...]] = ("a", "b")
    num_breaks: Annotated[int, Field(ge=1, le=5)] = 1

    @property
    def parameters(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        breaks = range(1, self.num_breaks + 1)
        return ("a", "b", "c0", *(f"{name}{i}" for i in breaks for name in "cdf"))

    @property
    def logarithmic(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return ("b", *(name for name in self.parameters if name[0] in "df"))

    @property
    def name(self) -> str:
        return "a + b·x^−c0·Π (1 + (x/d)^(1/f))^(−c·f)"

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        one = ((-50.0, 50.0), (0.0, np.inf), (1e-3, 20.0))
        return ((0.0, np.inf), (0.0, np.inf), (-50.0, 50.0), *one * self.num_breaks)

    def check(self, x: Floats, y: Floats) -> None:
        require_positive(x, self.inputs)

    def predict(self, x: Floats, parameters: Floats) -> Doubles:
        a, b, c0, *breaks = each(parameters)
        log_x = np.log(x)
        exponent = -c0 * log_x
        for c, d, f in _triples(breaks):
            exponent = exponent - c * f * np.logaddexp(0, (log_x - np.log(d)) / f)
        return a + b * np.exp(exponent)

    def jacobian(self, x: Floats, parameters: Floats) -> Doubles:
        _, b, c0, *breaks = each(parameters)
        log_x = np.log(x)
        exponent, slopes = -c0 * log_x, []
        for c, d, f in _triples(breaks):
            u = (log_x - np.log(d)) / f
            soft = np.logaddexp(0, u)
            share = np.exp(u - soft)
            exponent = exponent - c * f * soft
            slopes += [-f * soft, c * share / d, c * (u * share - soft)]
        unit = np.exp(exponent)
        return stacked(1.0, unit, -b * log_x * unit, *(b * unit * slope for slope in slopes))

    def starts(self, x: Floats, y: Floats) -> Doubles:
        """Breaks at each choice of places, with the slopes that the runs between them have."""
        log_x, y = np.log(x), np.asarray(y, dtype=np.float64)
        low, high = log_x.min(), log_x.max()
        found = []
        for places in combinations(PLACES, self.num_breaks):
            at = low + (high - low) * np.array(places)
            for limit in (0.0, 0.5, 0.9):
                excess = np.log(np.maximum(y - limit * y.min(), 1e-12))
                slopes = _slopes(log_x, excess, [low, *at, high])
                steps = np.diff(slopes)
                for width in (0.05, 0.3, 1.0):
                    broken = np.stack([steps, np.exp(at), np.full_like(at, width)], axis=1)
                    found.append([np.nan, np.nan, slopes[0], *broken.ravel()])
        return np.array(found)


def _triples(breaks: list[Doubles]):
    return zip(breaks[::3], breaks[1::3], breaks[2::3], strict=True)


def _slopes(log_x: Doubles, log_y: Doubles, edges: list[float]) -> Doubles:
    """How fast log y falls within each two edges; the mean fall where too few runs lie there."""
    found = []
    for start, end in pairwise(edges):
        inside = (log_x >= start - 1e-9) & (log_x <= end + 1e-9)
        if np.ptp(log_x[inside]) == 0 if inside.any() else True:
            inside = np.ones_like(inside)
        found.append(-np.polyfit(log_x[inside], log_y[inside], 1)[0])
    return np.clip(found, -40, 40)
