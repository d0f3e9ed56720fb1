"""Small photographs of a hundred kinds of things."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from raystudy.kinds import Examples, Size, TaskOnDisk
from raystudy.tasks import names, stored_corruptions
from raystudy.tasks.cifar_files import Archive
from raystudy.tasks.listing import Splits, remembered

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
ARCHIVE = Archive(
    stem="cifar100",
    train=(f"{FOLDER}/train.bin",),
    test=f"{FOLDER}/test.bin",
    names=f"{FOLDER}/fine_label_names.txt",
    num_labels=2,  # coarse, fine
    pickles="cifar-100-python",
)


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
