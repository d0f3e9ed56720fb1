"""Breeds of cats and dogs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from raystudy.kinds import Examples, Judged, Size, TaskOnDisk
from raystudy.tasks import names
from raystudy.tasks.carve import carved
from raystudy.tasks.listing import (
    Listing,
    Splits,
    absent,
    inside,
    label_of,
    lacking,
    read_lines,
    remembered,
)

TEMPLATES = ("a photo of a {}, a type of pet.", "a photo of a {}.")
LISTS = ("annotations/trainval.txt", "annotations/test.txt")
VALIDATION_PERCENT = 20


class Pets(TaskOnDisk):
    """Twelve breeds of cats and twenty-five of dogs, about 200 images of each.

    Layout, of the unpacked archives (torchvision's ``oxford-iiit-pet``)::

        images/Abyssinian_1.jpg …
        annotations/trainval.txt, annotations/test.txt

    A class is known by the file's name; the numbers in the lists are not read.
    Splits: test is official; validation is 20 % of the official training split (VTAB's share), of
    each class alike, by hash (``split_seed``).
    Place: Visual Geometry Group, University of Oxford: The Oxford-IIIT Pet Dataset.
    Paper: Parkhi et al., Cats and Dogs, CVPR 2012.
    Terms: CC BY-SA 4.0; the images are their owners'.
    """

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = names.words("pets")
    metric: ClassVar[Judged] = "mean-per-class"
    split_seed: int = 0

    @property
    def name(self) -> str:
        return "pets"

    @property
    def size(self) -> Size:
        return Size(train=2_944, validation=736, test=3_669)

    def missing(self, root: Path) -> Sequence[str]:
        if lines := lacking(root, *LISTS, "images"):
            return lines
        return absent(root, _read(root, self.split_seed).paths, " and ".join(LISTS))

    def files(self, root: Path) -> Sequence[str]:
        return [*LISTS, *_read(root, self.split_seed).paths]

    def num_train(self) -> Sequence[int]:
        return self._splits.train.counts(len(self.class_names))

    def train(self) -> Examples:
        return self._splits.train.examples(self.path)

    def validation(self) -> Examples:
        return self._splits.validation.examples(self.path)

    def _test(self, shift: str | None) -> Examples:
        return self._splits.test.examples(self.path)

    def prompts(self) -> Sequence[Sequence[str]]:
        return names.prompts(self.class_names, TEMPLATES)

    @property
    def _splits(self) -> Splits:
        return remembered(_read, self.path, self.split_seed)


def _read(root: Path, seed: int) -> Splits:
    labels = names.labels("pets")

    def listed(file: Path) -> Listing:
        ids = [inside(line.split()[0], file) for line in read_lines(file)]
        return Listing.of(
            (id, f"images/{id}.jpg", label_of(labels, id.rpartition("_")[0], file)) for id in ids
        )

    trainval, test = (listed(root / name) for name in LISTS)
    train, validation = carved(trainval, VALIDATION_PERCENT, "pets/validation", seed)
    return Splits(train, validation, test)
