"""Which examples a global step sees: a function of (seed, size, budget), never of the workers.

The epoch's order is a permutation that belongs to (seed, epoch): of single examples, or of runs of
neighbours on disk (``Budget.run_length``). Epochs follow one another without a seam. Cut into
chunks, chunk c is part of step c // K and goes to worker c mod W, where K chunks make a global
batch. A position is therefore a step number, and a resumed or resized run reads on from there
exactly.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import overload

import numpy as np
from numpy.typing import NDArray

from raystudy.randomness import generator
from raystudy.spec import Budget, Pretraining

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Parcel:
    """What travels to one worker at once: its share of ``num_steps`` consecutive steps."""

    run: int
    """Which pre-training of the stream it belongs to."""
    first_step: int
    num_steps: int
    worker: int


def step_rows(size: int, budget: Budget, seed: int, step: int, on_disk: Rows | None = None) -> Rows:
    """Rows of the subset that global ``step`` trains on, by chunk. Shape (K, chunk_size).

    ``on_disk`` (size,) lists the rows as they lie on disk; needed if runs are longer than one.
    """
    first = step * budget.batch_size
    position = np.arange(first, first + budget.batch_size)
    epoch, place = np.divmod(position, size)
    rows = np.empty(budget.batch_size, dtype=np.int64)
    for e in np.unique(epoch):
        here = epoch == e
        if budget.order == "sampled" and e == 0:
            rows[here] = place[here]
            continue
        order = _epoch_order(size, budget.run_length, seed, int(e))
        rows[here] = order[place[here]]
        if budget.run_length > 1 and on_disk is not None:
            rows[here] = on_disk[rows[here]]
    return rows.reshape(-1, budget.chunk_size)


def worker_chunks(budget: Budget, num_workers: int, worker: int) -> range:
    """Which of a step's K chunks one worker gets.

    Raises ValueError if the chunks cannot be shared evenly: ranks of unequal batch would weigh
    examples unequally.
    """
    chunks = budget.batch_size // budget.chunk_size
    if chunks % num_workers:
        raise ValueError(
            f"{chunks} chunks a step cannot be shared evenly by {num_workers} workers; "
            f"choose a number of workers that divides {chunks}, or a smaller Budget.chunk_size"
        )
    return range(worker, chunks, num_workers)


class Parcels(Sequence[Parcel]):
    """The stream that trains ``runs`` (index in ``specs`` → first step) one after the other, step
    by step and, within a step, worker by worker. Parcels are computed when they are asked for: a
    plan of a million takes no more room than one of ten."""

    def __init__(
        self,
        runs: Mapping[int, int],
        specs: Sequence[Pretraining],
        num_workers: int,
        steps_per_parcel: Sequence[int],
    ) -> None:
        """``steps_per_parcel`` is by spec."""
        self._num_workers = num_workers
        self._runs = [
            (run, first, specs[run].num_steps, steps_per_parcel[run]) for run, first in runs.items()
        ]
        shares = (max(0, -(-(last - first) // most)) for _, first, last, most in self._runs)
        self._ends = list(accumulate(share * num_workers for share in shares))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, i: int) -> Parcel: ...
    @overload
    def __getitem__(self, i: slice) -> list[Parcel]: ...
    def __getitem__(self, i: int | slice) -> Parcel | list[Parcel]:
        if isinstance(i, slice):
            return [self[j] for j in range(len(self))[i]]
        i = range(len(self))[i]
        place = bisect_right(self._ends, i)
        run, first, num_steps, most = self._runs[place]
        before = self._ends[place - 1] if place else 0
        share, worker = divmod(i - before, self._num_workers)
        step = first + share * most
        return Parcel(run, step, min(most, num_steps - step), worker)


@lru_cache(maxsize=2)
def _epoch_order(size: int, run_length: int, seed: int, epoch: int) -> Rows:
    rng = generator(seed, "order", epoch)
    if run_length == 1:
        return rng.permutation(size)
    # Runs begin elsewhere in each epoch, so that neighbours are not the same ones for ever.
    first = int(rng.integers(run_length))
    starts = rng.permutation(np.arange(first - run_length, size, run_length))
    rows = (starts[:, None] + np.arange(run_length)).reshape(-1)
    return rows[(rows >= 0) & (rows < size)]
