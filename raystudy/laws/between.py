"""The data multiplier between two fits: what one arm's data is worth of the other's, with the doubt
about both curves that their own resamples hold (``raystudy.laws.multiplier`` has the definition).
"""

from __future__ import annotations

import numpy as np

from raystudy.laws.arrays import Doubles
from raystudy.laws.fitted import Fit
from raystudy.laws.inversion import invert
from raystudy.laws.multiplier import Multiplier, MultiplierStatus
from raystudy.laws.status import FitError
from raystudy.randomness import generator


def multiplier_between(a: Fit, b: Fit) -> Multiplier:
    """How many times its size ``a``'s data is worth of ``b``'s, at the error that ``b``'s curve has
    at its largest size.

    Resamples of the same seeds, drawn alike, stay paired; others are independent, and shuffled.
    Raises FitError for laws of several inputs and for fits that keep no runs.
    """
    if len(a.law.inputs) != 1 or len(b.law.inputs) != 1:
        raise FitError("a data multiplier is read off laws of one input; take one with --x one")
    if a.runs is None or b.runs is None:
        raise FitError("these fits keep no runs; fit with raystudy.laws.fit.fit")
    size = float(b.runs.x.max())
    low, high = float(a.runs.x.min()), float(a.runs.x.max())

    def ratio(of_a: Doubles, of_b: Doubles) -> Doubles:
        targets = np.asarray(b.law.predict(np.array([size]), of_b), dtype=np.float64)[..., 0]
        with np.errstate(divide="ignore"):
            return size / invert(a.law, of_a, targets, low, high)

    value = float(ratio(a.parameters[None], b.parameters[None])[0])
    least, most = size / high, size / low
    bottom, top = _interval(value, ratio(*_together(a, b)), max(a.widening, b.widening), a)
    bottom, top = min(bottom, most), max(top, least)
    if np.isinf(value):
        return Multiplier(most, bottom, top, MultiplierStatus.AT_LEAST)
    if value == 0:
        return Multiplier(least, bottom, top, MultiplierStatus.NOT_REACHED)
    return Multiplier(value, bottom, top, MultiplierStatus.MEASURED)


def _together(a: Fit, b: Fit) -> tuple[Doubles, Doubles]:
    """Rows of the resamples of both, (R, P) each."""
    number = min(len(a.resampled), len(b.resampled))
    if number == len(a.resampled) == len(b.resampled) and _same_seeds(a, b):
        return a.resampled, b.resampled
    order = generator(0, "resamples of two fits", number).permutation(len(b.resampled))
    return a.resampled[:number], b.resampled[order[:number]]


def _same_seeds(a: Fit, b: Fit) -> bool:
    assert a.runs is not None
    assert b.runs is not None
    return a.runs.units == b.runs.units == "seeds" and a.runs.unit.max() == b.runs.unit.max()


def _interval(value: float, found: Doubles, widening: float, a: Fit) -> tuple[float, float]:
    """Percentiles, rounded outwards to ratios that occurred: inf cannot be interpolated."""
    if not len(found):
        return 0.0, float("inf")
    if 0 < value < np.inf:
        with np.errstate(divide="ignore"):
            found = value * np.exp(widening * (np.log(found) - np.log(value)))
    coverage = a.settings.coverage if a.settings else 0.95
    low = np.percentile(found, 50 * (1 - coverage), method="lower")
    high = np.percentile(found, 50 * (1 + coverage), method="higher")
    return float(low), float(high)
