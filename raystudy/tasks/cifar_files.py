"""CIFAR's binary files: records of a few bytes of labels and an image in three planes.

Their Python version is not read: its files are pickles, which run whatever code they hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raystudy.kinds import Examples, Integers
from raystudy.tasks import names, stored_corruptions
from raystudy.tasks.carve import carved
from raystudy.tasks.listing import Listing, Splits, label_of, lacking, read_lines

SIDE = 32
PLANES = 3 * SIDE * SIDE
"""Bytes: a plane of red, of green and of blue."""
VALIDATION_PERCENT = 10


@dataclass(frozen=True)
class Archive:
    """The binary version of CIFAR-10 or CIFAR-100, unpacked."""

    stem: str
    """Of its classes (``raystudy.tasks.names``)."""
    train: tuple[str, ...]
    test: str
    names: str
    """The file with the official name of each number, a line each."""
    num_labels: int
    """Bytes of labels in a record, of which the last counts."""
    pickles: str
    """The folder of the Python version."""

    def missing(self, root: Path, corrupted: str | None) -> list[str]:
        hint = "download the binary version"
        if (root / self.pickles).is_dir():
            hint = f"{self.pickles} holds pickles, which are not read: {hint}"
        lines = lacking(root, *self.files(None), hint=hint)
        return lines + (stored_corruptions.missing_arrays(Path(corrupted)) if corrupted else [])

    def files(self, corrupted: str | None) -> list[str]:
        """Those of the corrupted version in a folder ``c``."""
        arrays = stored_corruptions.ARRAYS if corrupted else ()
        return [*self.train, self.test, self.names, *(f"c/{name}" for name in arrays)]

    def splits(self, root: Path, seed: int) -> Splits:
        """Raises OSError or ValueError."""
        order = self._order(root)
        known, test = (self._listing(root, files, order) for files in (self.train, (self.test,)))
        train, validation = carved(known, VALIDATION_PERCENT, f"{self.stem}/validation", seed)
        return Splits(train, validation, test)

    def examples(self, root: str, listing: Listing) -> Examples:
        """Images uint8 (N, 32, 32, 3)."""
        images = np.empty((len(listing), SIDE, SIDE, 3), np.uint8)
        rows = np.array([int(id.rpartition("-")[2]) for id in listing.ids], np.int64)
        files = np.array(listing.paths)
        for file in dict.fromkeys(listing.paths):
            here = files == file
            planes = _records(Path(root) / file, self.num_labels)[rows[here], self.num_labels :]
            images[here] = planes.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
        return Examples(listing.ids, images, listing.labels)

    def corrupted(self, root: str, test: Examples, arrays: str, shift: str) -> Examples:
        """The whole test split as the arrays below ``arrays`` have it under ``shift``."""
        numbers = np.argsort(self._order(Path(root)))[test.labels]
        return stored_corruptions.in_array(Path(arrays), shift, test, numbers)

    def _listing(self, root: Path, files: Sequence[str], order: Integers) -> Listing:
        """Ids are ``train-00000`` …, in the order of the files."""
        found = []
        for file in files:
            given = _records(root / file, self.num_labels)[:, self.num_labels - 1]
            if len(given) and given.max() >= len(order):
                raise ValueError(f"{root / file}: label {given.max()}, but {len(order)} have names")
            stem = Path(file).stem
            found += [(f"{stem}-{i:05d}", file, label) for i, label in enumerate(order[given])]
        return Listing.of(found)

    def _order(self, root: Path) -> Integers:
        """Number in the files → label."""
        labels, file = names.labels(self.stem), root / self.names
        found = [label_of(labels, line.strip(), file) for line in read_lines(file)]
        return np.array(found, np.int64)


def _records(file: Path, num_labels: int) -> NDArray[np.uint8]:
    """(N, bytes), mapped. Raises OSError, and ValueError for a file that was cut off."""
    size, record = file.stat().st_size, num_labels + PLANES
    if size % record or not size:
        raise ValueError(f"{file}: {size:,} bytes are not whole records of {record}; unpack again")
    return np.memmap(file, np.uint8, "r", shape=(size // record, record))
