"""CIFAR's binary files: records of a few bytes of labels and an image in three planes.

Their Python version is not read: its files are pickles, which run whatever code they hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raystudy.kinds import Examples, Integers
from raystudy.tasks.listing import Listing

SIDE = 32
PLANES = 3 * SIDE * SIDE
"""Bytes: a plane of red, of green and of blue."""


def listing(root: Path, files: Sequence[str], order: Integers, num_labels: int) -> Listing:
    """Ids are ``train-00000`` …, in the order of the files; ``order`` maps the last of the
    ``num_labels`` bytes of labels to ours. Raises OSError or ValueError."""
    found = []
    for file in files:
        given = _records(root / file, num_labels)[:, num_labels - 1]
        if len(given) and given.max() >= len(order):
            raise ValueError(f"{root / file}: label {given.max()}, but {len(order)} have names")
        stem = Path(file).stem
        found += [(f"{stem}-{i:05d}", file, label) for i, label in enumerate(order[given])]
    return Listing.of(found)


def examples(root: str, listing: Listing, num_labels: int) -> Examples:
    """Images uint8 (N, 32, 32, 3)."""
    images = np.empty((len(listing), SIDE, SIDE, 3), np.uint8)
    rows = np.array([int(id.rpartition("-")[2]) for id in listing.ids], np.int64)
    files = np.array(listing.paths)
    for file in dict.fromkeys(listing.paths):
        here = files == file
        planes = _records(Path(root) / file, num_labels)[rows[here], num_labels:]
        images[here] = planes.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return Examples(listing.ids, images, listing.labels)


def _records(file: Path, num_labels: int) -> NDArray[np.uint8]:
    """(N, bytes), mapped. Raises OSError, and ValueError for a file that was cut off."""
    size, record = file.stat().st_size, num_labels + PLANES
    if size % record or not size:
        raise ValueError(f"{file}: {size:,} bytes are not whole records of {record}; unpack again")
    return np.memmap(file, np.uint8, "r", shape=(size // record, record))
