"""First occurrences in a long sequence of 64-bit numbers, met a part at a time."""

import numpy as np
from numpy.typing import NDArray


class Seen:
    """The numbers met so far, at 8 bytes each where a Python set takes 60.

    They are kept as sorted runs, each more than twice as long as the next, so that adding N numbers
    costs O(N log N) in all.
    """

    def __init__(self) -> None:
        self._runs: list[NDArray[np.uint64]] = []

    def first(self, numbers: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Whether each is met for the first time; from now on it has been met. Shape (N,)."""
        distinct, place = np.unique(numbers, return_index=True)
        is_new = np.ones(len(distinct), dtype=bool)
        for run in self._runs:
            near = np.searchsorted(run, distinct).clip(max=len(run) - 1)
            is_new &= run[near] != distinct
        if is_new.any():
            self._runs.append(distinct[is_new])
        while len(self._runs) > 1 and len(self._runs[-2]) <= 2 * len(self._runs[-1]):
            # A stable sort merges runs that are sorted already, in linear time.
            self._runs[-2:] = [np.sort(np.concatenate(self._runs[-2:]), kind="stable")]
        is_first = np.zeros(len(numbers), dtype=bool)
        is_first[place[is_new]] = True
        return is_first
