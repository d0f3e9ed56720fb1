"""Things of a hundred kinds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from raystudy.kinds import Examples, Judged, Size, TaskOnDisk
from raystudy.tasks import names
from raystudy.tasks.carve import drawn
from raystudy.tasks.listing import Splits, class_folders, lacking, remembered

TEMPLATES = (
    "a photo of a {}.",
    "a painting of a {}.",
    "a sculpture of a {}.",
    "a sketch of a {}.",
    "a cartoon {}.",
    "a drawing of a {}.",
    "a photo of the {}.",
)
FOLDER = "101_ObjectCategories"
NUM_LEARNT, NUM_VALIDATION = 30, 3
"""Of each class: images that are not for testing, and those of them that validate."""


class Caltech101(TaskOnDisk):
    """Pictures of objects of 101 kinds, and a class of background.

    Layout, of the unpacked archive (torchvision's ``caltech101``)::

        101_ObjectCategories/accordion/image_0001.jpg …

    Splits: none is official; as is usual, 30 images of each class are drawn for training, here by
    hash (``split_seed``), and three of them validate; all others are for testing. TFDS, and VTAB
    with it, draws as many, but others.
    Place: California Institute of Technology: Caltech 101.
    Paper: Fei-Fei et al., Learning Generative Visual Models from Few Training Examples, CVPR
    Workshop 2004.
    Terms: CC BY 4.0.
    """

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = names.words("caltech101")
    metric: ClassVar[Judged] = "mean-per-class"
    split_seed: int = 0

    @property
    def name(self) -> str:
        return "caltech101"

    @property
    def size(self) -> Size:
        return Size(train=2_754, validation=306, test=6_084)

    def missing(self, root: Path) -> Sequence[str]:
        return lacking(root, FOLDER) or lacking(
            root, *(f"{FOLDER}/{folder}" for folder in names.official("caltech101"))
        )

    def files(self, root: Path) -> Sequence[str]:
        return _read(root, self.split_seed).paths

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
    labels = names.labels("caltech101")
    everything = class_folders(root, FOLDER, labels)
    test, learnt = drawn(everything, [NUM_LEARNT] * len(labels), "caltech101/train", seed)
    numbers = [NUM_VALIDATION] * len(labels)
    train, validation = drawn(learnt, numbers, "caltech101/validation", seed)
    return Splits(train, validation, test)
