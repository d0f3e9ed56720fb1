"""Small photographs of a hundred kinds of things."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from raystudy.kinds import Examples, Integers, Size, TaskOnDisk
from raystudy.tasks import cifar_files, names, stored_corruptions
from raystudy.tasks.carve import carved
from raystudy.tasks.listing import Splits, label_of, lacking, read_lines, remembered

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
TRAIN, TEST, NAMES = (
    f"{FOLDER}/{name}" for name in ("train.bin", "test.bin", "fine_label_names.txt")
)
NUM_LABELS = 2
"""Bytes: coarse, fine."""
VALIDATION_PERCENT = 10


class CIFAR100(TaskOnDisk):
    """Photographs of 32 × 32 pixels, 600 of each of a hundred classes.

    Layout, of the unpacked archive in its binary version::

        cifar-100-binary/train.bin, test.bin, fine_label_names.txt

    The Python version (torchvision's ``cifar-100-python``) is not read: its files are pickles,
    which run whatever code they hold. ``c`` is the folder of CIFAR-100-C (gaussian_noise.npy …,
    labels.npy; Hendrycks and Dietterich 2019, arXiv 1903.12261), of which each of 15 corruptions at
    five severities becomes a shift.
    Splits: test is official; validation is 10 % of the official training split (VTAB's share), of
    each class alike, by hash (``split_seed``).
    Place: University of Toronto: The CIFAR-10 and CIFAR-100 datasets.
    Paper: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
    Terms: none stated.
    """

    VERSION: ClassVar[int] = 1
    elsewhere: ClassVar[frozenset[str]] = frozenset({"path", "c"})
    class_names: ClassVar[tuple[str, ...]] = names.words("cifar100")
    c: str | None = None
    split_seed: int = 0

    @property
    def name(self) -> str:
        return "cifar100"

    @property
    def shifts(self) -> tuple[str, ...]:
        return stored_corruptions.SHIFTS if self.c else ()

    @property
    def size(self) -> Size:
        return Size(train=45_000, validation=5_000, test=10_000)

    def missing(self, root: Path) -> Sequence[str]:
        hint = "download the binary version"
        if (root / "cifar-100-python").is_dir():
            hint = "cifar-100-python holds pickles, which are not read: " + hint
        lines = lacking(root, TRAIN, TEST, NAMES, hint=hint)
        return lines + (stored_corruptions.missing_arrays(Path(self.c)) if self.c else [])

    def files(self, root: Path) -> Sequence[str]:
        arrays = stored_corruptions.ARRAYS if self.c else ()
        return [TRAIN, TEST, NAMES, *(f"c/{name}" for name in arrays)]

    def place(self, name: str) -> Path:
        return Path(self.c, name[2:]) if self.c and name[:2] == "c/" else Path(self.path, name)

    def num_train(self) -> Sequence[int]:
        return self._splits.train.counts(len(self.class_names))

    def train(self) -> Examples:
        return cifar_files.examples(self.path, self._splits.train, NUM_LABELS)

    def validation(self) -> Examples:
        return cifar_files.examples(self.path, self._splits.validation, NUM_LABELS)

    def _test(self, shift: str | None) -> Examples:
        test = cifar_files.examples(self.path, self._splits.test, NUM_LABELS)
        if shift is None:
            return test
        numbers = np.argsort(_order(Path(self.path)))[test.labels]
        return stored_corruptions.in_array(Path(self.c or ""), shift, test, numbers)

    def prompts(self) -> Sequence[Sequence[str]]:
        return names.prompts(self.class_names, TEMPLATES)

    @property
    def _splits(self) -> Splits:
        return remembered(_read, self.path, self.split_seed)


def _read(root: Path, seed: int) -> Splits:
    known, test = (
        cifar_files.listing(root, [file], _order(root), NUM_LABELS) for file in (TRAIN, TEST)
    )
    train, validation = carved(known, VALIDATION_PERCENT, "cifar100/validation", seed)
    return Splits(train, validation, test)


def _order(root: Path) -> Integers:
    """Number in the files → label."""
    labels, file = names.labels("cifar100"), root / NAMES
    return np.array([label_of(labels, line.strip(), file) for line in read_lines(file)], np.int64)
