"""Small photographs of ten kinds of things."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from raystudy.kinds import Examples, Size, TaskOnDisk
from raystudy.tasks import names, stored_corruptions
from raystudy.tasks.cifar100 import TEMPLATES
from raystudy.tasks.cifar_files import Archive
from raystudy.tasks.listing import Splits, remembered

FOLDER = "cifar-10-batches-bin"
ARCHIVE = Archive(
    stem="cifar10",
    train=tuple(f"{FOLDER}/data_batch_{i}.bin" for i in range(1, 6)),
    test=f"{FOLDER}/test_batch.bin",
    names=f"{FOLDER}/batches.meta.txt",
    num_labels=1,
    pickles="cifar-10-batches-py",
)


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
        return ARCHIVE.missing(root, self.c)

    def files(self, root: Path) -> Sequence[str]:
        return ARCHIVE.files(self.c)

    def place(self, name: str) -> Path:
        return Path(self.c, name[2:]) if self.c and name[:2] == "c/" else Path(self.path, name)

    def num_train(self) -> Sequence[int]:
        return self._splits.train.counts(len(self.class_names))

    def train(self) -> Examples:
        return ARCHIVE.examples(self.path, self._splits.train)

    def validation(self) -> Examples:
        return ARCHIVE.examples(self.path, self._splits.validation)

    def _test(self, shift: str | None) -> Examples:
        test = ARCHIVE.examples(self.path, self._splits.test)
        return ARCHIVE.corrupted(self.path, test, self.c, shift) if shift and self.c else test

    def prompts(self) -> Sequence[Sequence[str]]:
        return names.prompts(self.class_names, TEMPLATES)

    @property
    def _splits(self) -> Splits:
        return remembered(ARCHIVE.splits, self.path, self.split_seed)
