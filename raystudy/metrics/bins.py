"""Bins of equal width or equal mass, and the gap in each between what is said and what is.

Array shapes: N examples, B bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from raystudy.metrics.probabilities import Doubles, Ranked, ties

Binning = Literal["width", "mass"]


@dataclass(frozen=True)
class Gaps:
    """Of each bin the sum of confidence − hit (B,), and the sum of confidence·(1 − confidence)
    (B,), which is the variance of the former if the confidences are true. Empty bins have zeros."""

    difference: Doubles
    variance: Doubles


def gaps(ranked: Ranked, bins: int, binning: Binning) -> Gaps:
    p = ranked.confidence
    at = width_bins(p, bins) if binning == "width" else mass_bins(p, bins)
    return Gaps(sums(at, p - ranked.hit, bins), sums(at, p * (1 - p), bins))


def sums(at: NDArray[np.intp], values: Doubles, bins: int) -> Doubles:
    """Of the ``values`` (N,) in each of the bins: (B,)."""
    return np.asarray(np.bincount(at, values, minlength=bins), np.float64)


def width_bins(p: Doubles, bins: int) -> NDArray[np.intp]:
    """The bin ⌈B·p⌉ − 1 of each of ``p`` (…) in [0, 1].

    Bin b is (b/B, (b+1)/B]: a probability on an edge belongs to the bin below it, 1.0 to the last,
    and 0.0 to the first.
    """
    at = np.ceil(p * bins).astype(np.intp)
    at -= 1
    return np.clip(at, 0, bins - 1, out=at)


def mass_bins(falling: Doubles, bins: int) -> NDArray[np.intp]:
    """The bin of each of N values, given from the highest to the lowest.

    Sizes differ by one at most, the lower bins being the larger, as ``numpy.array_split`` cuts a
    rising order. Equal values stay together, in the bin of their middle, so that the order of
    examples does not matter; then bins are of unequal size.
    """
    sizes = np.full(bins, len(falling) // bins)
    sizes[: len(falling) % bins] += 1
    at = np.repeat(np.arange(bins), sizes)[::-1]
    starts, runs = ties(falling)
    return np.repeat(at[starts + (runs - 1) // 2], runs)
