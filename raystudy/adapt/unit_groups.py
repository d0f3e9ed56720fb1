"""Features in groups, of which each has length one in every example."""

from collections.abc import Iterable

import numpy as np

from raystudy.kinds import Floats, Integers


def group_of(widths: Iterable[int]) -> Integers:
    """The number of the group that each of D columns belongs to, ascending."""
    sizes = np.fromiter(widths, np.int64)
    return np.repeat(np.arange(len(sizes)), sizes)


def unit_groups(x_NxK: Floats, group_of_K: Integers) -> Floats:
    """``x`` with each group of columns divided by its L2 norm, example by example; one whose
    features are all zero stays so. Groups lie side by side, and may be of any width."""
    if not len(group_of_K):
        return x_NxK
    starts = np.flatnonzero(np.diff(group_of_K, prepend=group_of_K[0] - 1))
    widths = np.diff(starts, append=len(group_of_K))
    out = np.empty_like(x_NxK)
    for start, width in zip(starts, widths, strict=True):
        part = x_NxK[:, start : start + width]
        # By the largest first: squares of small activations would be rounded to zero.
        largest = np.abs(part).max(1, keepdims=True)
        scaled = part / np.where(largest > 0, largest, 1)
        norms = np.linalg.norm(scaled, axis=1, keepdims=True)
        out[:, start : start + width] = scaled / np.where(norms > 0, norms, 1)
    return out
