"""Small photographs of ten kinds of things."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from raystudy.kinds import Examples, Integers, Size, TaskOnDisk
from raystudy.tasks import cifar_files, names, stored_corruptions
from raystudy.tasks.carve import carved
from raystudy.tasks.cifar100 import TEMPLATES
from raystudy.tasks.listing import Splits, label_of, lacking, read_lines, remembered

FOLDER = "cifar-10-batches-bin"
TRAIN = tuple(f"{FOLDER}/data_batch_{i}.bin" for i in range(1, 6))
TEST, NAMES = f"{FOLDER}/test_batch.bin", f"{FOLDER}/batches.meta.txt"
NUM_LABELS = 1
"""Bytes."""
VALIDATION_PERCENT = 10


class CIFAR10(TaskOnDisk):
    """Photographs of 32 × 32 pixels, 6,000 of each of ten classes.

    Layout, of the unpacked archive in its binary version::

        cifar-10-batches-bin/data_batch_1.bin … data_batch_5.bin, test_batch.bin, batches.meta.txt

    The Python version (torchvision's ``cifar-10-batches-py``) is not read: its files are pickles,
    which run whatever code they hold. ``c`` is the folder of CIFAR-10-C (gaussian_noise.npy …,
    labels.npy; Hendrycks and Dietterich 2019, arXiv 1903.12261), of which each of 15 corruptions at
    five severities becomes a shift.
    Splits: test is official; validation is 10 % of the official training split, of each class
    alike, by hash (``split_seed``).
    Place: University of Toronto: The CIFAR-10 and CIFAR-100 datasets.
    Paper: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
    Terms: none stated.
    """

    VERSION: ClassVar[int] = 1
    elsewhere: ClassVar[frozenset[str]] = frozenset({"path", "c"})
    class_names: ClassVar[tuple[str, ...]] = names.words("cifar10")
    c: str | None = None
    split_seed: int = 0

    @property
    def name(self) -> str:
        return "cifar10"

    @property
    def shifts(self) -> tuple[str, ...]:
        return stored_corruptions.SHIFTS if self.c else ()

    @property
    def size(self) -> Size:
        return Size(train=45_000, validation=5_000, test=10_000)

    def missing(self, root: Path) -> Sequence[str]:
        hint = "download the binary version"
        if (root / "cifar-10-batches-py").is_dir():
            hint = "cifar-10-batches-py holds pickles, which are not read: " + hint
        lines = lacking(root, *TRAIN, TEST, NAMES, hint=hint)
        return lines + (stored_corruptions.missing_arrays(Path(self.c)) if self.c else [])

    def files(self, root: Path) -> Sequence[str]:
        arrays = stored_corruptions.ARRAYS if self.c else ()
        return [*TRAIN, TEST, NAMES, *(f"c/{name}" for name in arrays)]

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
    order = _order(root)
    known = cifar_files.listing(root, TRAIN, order, NUM_LABELS)
    test = cifar_files.listing(root, [TEST], order, NUM_LABELS)
    train, validation = carved(known, VALIDATION_PERCENT, "cifar10/validation", seed)
    return Splits(train, validation, test)


def _order(root: Path) -> Integers:
    """Number in the files → label."""
    labels, file = names.labels("cifar10"), root / NAMES
    return np.array([label_of(labels, line.strip(), file) for line in read_lines(file)], np.int64)
