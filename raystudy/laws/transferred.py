"""Effective data transferred: how much target data a pre-training stands for, at one model size.

D_E is the data that a model of the same size needs from scratch to reach the fine-tuned model's
loss; D_T = D_E − D_F is what pre-training added (Hernandez et al. 2021, arXiv 2102.01293). D_E is
read off the from-scratch curve within its measured sizes; beyond them it is a bound.

Shapes: S runs, R resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike

from raystudy.laws.arrays import Doubles
from raystudy.laws.fitted import Fit
from raystudy.laws.inversion import invert
from raystudy.laws.status import FitError
from raystudy.randomness import generator

SATURATION = 0.99
LOW_DATA = 0.1
"""Of D(N): where the law of transfer holds."""
REACH = 1e6
"""How far beyond the largest size D(N) is looked for, as a factor."""


class Reading(Enum):
    MEASURED = "measured"
    AT_LEAST = "at least"
    """From scratch the loss is not reached at any measured size: D_E exceeds the largest."""
    AT_MOST = "at most"
    """From scratch the loss is better at the smallest size already: D_E falls short of it."""


@dataclass(frozen=True)
class Transferred:
    """At ``D_F`` examples: (value, low, high) of D_E and D_T, and what to think of them.

    ``low_data``: D_F is at most a tenth of D(N), which brings a model to 99 % of its best loss; the
    law of transfer is for such alone. None where the curve shows no limit. ``ossified``: the
    interval of D_T is below 0, so that pre-training harms.
    """

    D_F: float
    D_E: tuple[float, float, float]
    D_T: tuple[float, float, float]
    reading: Reading
    D_N: float | None
    low_data: bool | None
    ossified: bool


def transferred(
    scratch: Fit, D_F: float, losses: ArrayLike, *, random_seed: int = 0
) -> Transferred:
    """What pre-training is worth to fine-tuned runs with ``losses`` (S,) on ``D_F`` examples, by
    the curve from scratch of models of the same size.

    The interval holds the doubt about the curve and about the mean of the losses. Raises FitError
    if the curve was not fitted by ``raystudy.laws.fit.fit``, has several inputs, or D_F is not
    positive.
    """
    runs = scratch.runs
    seen = np.asarray(losses, dtype=np.float64)
    if runs is None or len(scratch.law.inputs) != 1:
        raise FitError("transferred needs a curve of one input, fitted by raystudy.laws.fit.fit")
    if not (D_F > 0 and seen.ndim == 1 and len(seen) and np.isfinite(seen).all()):
        raise FitError("D_F must be positive, and losses one finite number a run")
    low, high = float(runs.x.min()), float(runs.x.max())
    draws = generator(random_seed, "resample fine-tuned losses", len(seen))
    stretch = np.sqrt(len(seen) / max(len(seen) - 1, 1))
    means = draws.choice(seen, size=(len(scratch.resampled), len(seen))).mean(1)
    means = seen.mean() + stretch * (means - seen.mean())

    def equivalent(curves: Doubles) -> Doubles:
        targets = np.full(1, seen.mean()) if len(curves) != len(means) else means
        return invert(scratch.law, curves, targets, low, high)

    value, least, most = scratch.derive(equivalent)
    reading = Reading.MEASURED
    if np.isinf(value):
        reading, value = Reading.AT_LEAST, high
        least = least if np.isfinite(least) else high
    elif value == 0:
        reading, value = Reading.AT_MOST, low
        most = most if most > 0 else low
    D_N = saturating_size(scratch)
    return Transferred(
        D_F,
        (value, least, most),
        (value - D_F, least - D_F, most - D_F),
        reading,
        D_N,
        None if D_N is None else D_F <= LOW_DATA * D_N,
        bool(most < D_F),
    )


def saturating_size(scratch: Fit) -> float | None:
    """D(N): the data with which 0.99 of the loss is the loss of data without end. None where the
    curve goes on falling for as far as was looked."""
    assert scratch.runs is not None
    largest = float(scratch.runs.x.max())
    limit = float(scratch.law.predict(np.array([largest * REACH**2]), scratch.parameters)[0])
    low = float(scratch.runs.x.min())
    found = invert(
        scratch.law,
        scratch.parameters[None],
        np.array([limit / SATURATION]),
        low,
        largest * REACH,
    )[0]
    if np.isinf(found) or limit <= 0:
        return None
    return low if found == 0 else float(found)
