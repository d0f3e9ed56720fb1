"""Describable textures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from raystudy.kinds import Examples, Size, TaskOnDisk
from raystudy.tasks import names
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

TEMPLATES = (
    "a photo of a {} texture.",
    "a photo of a {} pattern.",
    "a photo of a {} thing.",
    "a photo of a {} object.",
    "a photo of the {} texture.",
    "a photo of the {} pattern.",
    "a photo of the {} thing.",
    "a photo of the {} object.",
)


class DTD(TaskOnDisk):
    """Textures named by adjectives, 120 images of each.

    Layout, of the unpacked archive ``dtd-r1.0.1`` (torchvision's ``dtd/dtd``)::

        images/banded/banded_0002.jpg …
        labels/train1.txt, labels/val1.txt, labels/test1.txt … labels/test10.txt

    Splits: official, ``partition`` of ten; VTAB and most others take the first.
    Place: Visual Geometry Group, University of Oxford: Describable Textures Dataset.
    Paper: Cimpoi et al., Describing Textures in the Wild, CVPR 2014, arXiv 1311.3618.
    Terms: for research; the images are their owners'.
    """

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = names.words("dtd")
    partition: Annotated[int, Field(ge=1, le=10)] = 1

    @property
    def name(self) -> str:
        return "dtd" if self.partition == 1 else f"dtd-{self.partition}"

    @property
    def size(self) -> Size:
        return Size(train=1_880, validation=1_880, test=1_880)

    def missing(self, root: Path) -> Sequence[str]:
        if lines := lacking(root, *self._lists, "images"):
            return lines
        return absent(root, _read(root, self.partition).paths, "labels/*.txt")

    def files(self, root: Path) -> Sequence[str]:
        return [*self._lists, *_read(root, self.partition).paths]

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
    def _lists(self) -> list[str]:
        return [f"labels/{split}{self.partition}.txt" for split in ("train", "val", "test")]

    @property
    def _splits(self) -> Splits:
        return remembered(_read, self.path, self.partition)


def _read(root: Path, partition: int) -> Splits:
    labels = names.labels("dtd")

    def listed(split: str) -> Listing:
        file = root / "labels" / f"{split}{partition}.txt"
        lines = [inside(line.strip(), file) for line in read_lines(file)]
        return Listing.of(
            (line, f"images/{line}", label_of(labels, line.partition("/")[0], file))
            for line in lines
        )

    return Splits(listed("train"), listed("val"), listed("test"))
