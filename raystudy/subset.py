"""Nested subsets and few-shot samples, pure in (example id, seed).

An example's rank is a salted hash of its id. The subset of size n holds the n smallest ranks, so
smaller subsets lie inside larger ones, whatever order the examples arrive in and however many
workers read them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raystudy.randomness import uniform

Rows = NDArray[np.int64]


def nested_subset(ids: Sequence[str], size: int, seed: int) -> Rows:
    """Rows of the ``size`` examples of lowest rank, in order of rank. Shape (size,).

    Raises ValueError if there are fewer than ``size`` examples.
    """
    if size > len(ids):
        raise ValueError(f"size {size:,} exceeds the {len(ids):,} examples there are")
    return _by_rank(ids, "subset", seed)[:size]


def few_shot(
    ids: Sequence[str], labels: NDArray[np.int64], shots: int | None, name: str, seed: int
) -> Rows:
    """Rows of ``shots`` examples of every class (all of them if None), nested across shots.

    ``name`` is the task's: draws of different tasks are independent. Raises ValueError if a class
    has fewer than ``shots`` examples.
    """
    order = _by_rank(ids, f"few-shot/{name}", seed)
    if shots is None:
        return order
    rows = []
    for label in np.unique(labels):
        of_class = order[labels[order] == label]
        if len(of_class) < shots:
            raise ValueError(f"{name}: class {label} has {len(of_class)} examples, not {shots}")
        rows.append(of_class[:shots])
    return np.concatenate(rows)


def _by_rank(ids: Sequence[str], name: str, seed: int) -> Rows:
    # Equal hashes are settled by the id itself, so that the input order never matters.
    return np.lexsort((np.asarray(ids), uniform(seed, name, ids))).astype(np.int64)
