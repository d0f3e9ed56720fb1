"""Splits that a publication does not give, cut from what it gives by a pure hash of the ids.

Whether an image is held out depends on (seed, name, its id, the ids of its class): not on the order
of files, nor on the machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raystudy.kinds import Integers
from raystudy.randomness import uniform
from raystudy.tasks.listing import Listing


def carved(listing: Listing, percent: int, name: str, seed: int) -> tuple[Listing, Listing]:
    """What stays, and ``percent`` of the images (rounded up), of each class the same share to
    within one image. Both keep their order."""
    counts = np.bincount(listing.labels)
    return drawn(listing, allotted(counts.tolist(), -(-len(listing) * percent // 100)), name, seed)


def drawn(
    listing: Listing, numbers: Sequence[int], name: str, seed: int
) -> tuple[Listing, Listing]:
    """What stays, and ``numbers[c]`` images of each class c. Raises ValueError if it has fewer."""
    # Equal hashes are settled by the id itself, so that the order of the files never matters.
    order = np.lexsort((np.asarray(listing.ids), uniform(seed, name, listing.ids)))
    taken = []
    for label, number in enumerate(numbers):
        of_class = order[listing.labels[order] == label]
        if len(of_class) < number:
            raise ValueError(f"{name}: class {label} has {len(of_class)} images, not {number}")
        taken.append(of_class[:number])
    held = np.zeros(len(listing), bool)
    held[np.concatenate(taken)] = True
    return listing.take(_rows(~held)), listing.take(_rows(held))


def allotted(counts: Sequence[int], total: int) -> list[int]:
    """``total`` shared out in proportion to ``counts``, by largest remainders; of equal ones the
    first."""
    everything = sum(counts)
    if not everything:
        return [0] * len(counts)
    shares = [total * n // everything for n in counts]
    remainders = [total * n % everything for n in counts]
    first = sorted(range(len(counts)), key=lambda c: (-remainders[c], c))
    for c in first[: total - sum(shares)]:
        shares[c] += 1
    return shares


def _rows(chosen: np.ndarray) -> Integers:
    return np.flatnonzero(chosen).astype(np.int64)
