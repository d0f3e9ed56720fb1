"""Small photographs of a hundred kinds of things."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from raystudy.kinds import Examples, Integers, Size, TaskOnDisk
from raystudy.tasks import names
from raystudy.tasks.carve import carved
from raystudy.tasks.listing import Listing, Splits, label_of, lacking, read_lines, remembered

TEMPLATES = (
    "a photo of a {}.",
    "a blurry photo of a {}.",
    "a low contrast photo of a {}.",
    "a bad photo of a {}.",
    "a good photo of a {}.",
    "a photo of a small {}.",
    "a photo of a big {}.",
    "a photo of the {}.",
)
FOLDER = "cifar-100-binary"
FILES = tuple(f"{FOLDER}/{name}" for name in ("train.bin", "test.bin", "fine_label_names.txt"))
SIDE = 32
RECORD = 2 + 3 * SIDE * SIDE
"""Bytes: coarse label, fine label, then a plane of red, of green and of blue."""
VALIDATION_PERCENT = 10


class CIFAR100(TaskOnDisk):
    """Photographs of 32 × 32 pixels, 600 of each of a hundred classes.

    Layout, of the unpacked archive in its binary version::

        cifar-100-binary/train.bin, test.bin, fine_label_names.txt

    The Python version (torchvision's ``cifar-100-python``) is not read: its files are pickles,
    which run whatever code they hold.
    Splits: test is official; validation is 10 % of the official training split (VTAB's share), of
    each class alike, by hash (``split_seed``).
    Place: University of Toronto: The CIFAR-10 and CIFAR-100 datasets.
    Paper: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
    Terms: none stated.
    """

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = names.words("cifar100")
    split_seed: int = 0

    @property
    def name(self) -> str:
        return "cifar100"

    @property
    def size(self) -> Size:
        return Size(train=45_000, validation=5_000, test=10_000)

    def missing(self, root: Path) -> Sequence[str]:
        hint = "download the binary version"
        if (root / "cifar-100-python").is_dir():
            hint = "cifar-100-python holds pickles, which are not read: " + hint
        return lacking(root, *FILES, hint=hint)

    def files(self, root: Path) -> Sequence[str]:
        return FILES

    def num_train(self) -> Sequence[int]:
        return self._splits.train.counts(len(self.class_names))

    def train(self) -> Examples:
        return self._examples(self._splits.train)

    def validation(self) -> Examples:
        return self._examples(self._splits.validation)

    def _test(self, shift: str | None) -> Examples:
        return self._examples(self._splits.test)

    def prompts(self) -> Sequence[Sequence[str]]:
        return names.prompts(self.class_names, TEMPLATES)

    @property
    def _splits(self) -> Splits:
        return remembered(_read, self.path, self.split_seed)

    def _examples(self, listing: Listing) -> Examples:
        file = listing.paths[0] if listing.paths else FILES[0]
        rows = [int(id.rpartition("-")[2]) for id in listing.ids]
        planes = _records(Path(self.path) / file)[rows, 2:].reshape(-1, 3, SIDE, SIDE)
        pixels = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
        return Examples(listing.ids, pixels, listing.labels)


def _read(root: Path, seed: int) -> Splits:
    named = root / FILES[2]
    order = [label_of(names.labels("cifar100"), line.strip(), named) for line in read_lines(named)]
    known, test = (_listing(root, file, np.array(order, np.int64)) for file in FILES[:2])
    train, validation = carved(known, VALIDATION_PERCENT, "cifar100/validation", seed)
    return Splits(train, validation, test)


def _listing(root: Path, file: str, order: Integers) -> Listing:
    """Ids are ``train-00000`` …, in the order of the file."""
    fine = _records(root / file)[:, 1]
    if len(fine) and fine.max() >= len(order):
        raise ValueError(f"{root / file}: label {fine.max()}, but {FILES[2]} names {len(order)}")
    split = Path(file).stem
    ids = tuple(f"{split}-{i:05d}" for i in range(len(fine)))
    return Listing(ids, (file,) * len(ids), order[fine])


def _records(file: Path) -> NDArray[np.uint8]:
    """(N, RECORD), mapped. Raises OSError, and ValueError for a file that was cut off."""
    size = file.stat().st_size
    if size % RECORD or not size:
        raise ValueError(f"{file}: {size:,} bytes are not whole records of {RECORD}; unpack again")
    return np.memmap(file, np.uint8, "r", shape=(size // RECORD, RECORD))
