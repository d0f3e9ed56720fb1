"""Curves read the other way: the size at which each falling curve meets its target.

Shapes: B curves, P parameters.
"""

from __future__ import annotations

import numpy as np

from raystudy.kinds import Law
from raystudy.laws.arrays import Doubles

NUM_INVERSION = 1024
TOLERANCE = 1e-9


def invert(law: Law, curves: Doubles, targets: Doubles, low: float, high: float) -> Doubles:
    """The x in [``low``, ``high``] where each falling curve (B, P) meets its target (B,).

    0 where the curve is below the target from the start, inf where it never gets there.
    """
    x = np.geomspace(low, high, NUM_INVERSION)
    gap = law.predict(x, curves) - targets[:, None]
    met = gap <= TOLERANCE
    rows, first = np.arange(len(gap)), met.argmax(1)
    before = np.maximum(first - 1, 0)
    above, below = gap[rows, before], np.minimum(gap[rows, first], 0)
    fall = above - below
    share = np.divide(above, fall, out=np.ones_like(fall), where=fall > 0)
    meets = x[before] * (x[first] / x[before]) ** share
    meets = np.where(gap[:, 0] < -TOLERANCE, 0.0, meets)
    return np.where(met.any(1), meets, np.inf)
