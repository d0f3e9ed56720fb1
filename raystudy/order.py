"""Which examples a global step sees: a function of (seed, size, budget), never of the workers.

The epoch's order is a permutation that belongs to (seed, epoch): of single examples, or of runs of
neighbours on disk (``Budget.run_length``). Epochs follow one another without a seam. Cut into
chunks, chunk c is part of step c // K and goes to worker c mod W, where K chunks make a global
batch. A position is therefore a step number, and a resumed or resized run reads on from there
exactly.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

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
        rows[here] = _epoch_order(size, budget.run_length, seed, int(e))[place[here]]
    if budget.run_length > 1 and on_disk is not None:
        rows = on_disk[rows]
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


def parcels(
    runs: Mapping[int, int],
    specs: Sequence[Pretraining],
    num_workers: int,
    steps_per_parcel: Sequence[int],
) -> Iterator[Parcel]:
    """The stream that trains ``runs`` (index in ``specs`` → first step) one after the other,
    worker by worker; ``steps_per_parcel`` is by spec."""
    for run, first in runs.items():
        num_steps, most = specs[run].num_steps, steps_per_parcel[run]
        for step in range(first, num_steps, most):
            for worker in range(num_workers):
                yield Parcel(run, step, min(most, num_steps - step), worker)


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
