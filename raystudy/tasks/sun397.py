"""Scenes, indoors and outdoors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from raystudy.kinds import Examples, Size, TaskOnDisk
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

TEMPLATES = ("a photo of a {}.", "a photo of the {}.")
FOLDER = "SUN397"
VALIDATION_PERCENT = 10


class Sun397(TaskOnDisk):
    """Photographs of 397 kinds of scenes, at least a hundred of each.

    Layout, of the unpacked archive (torchvision's) and of that of its partitions::

        SUN397/a/abbey/sun_aaalbzqrimafwbiv.jpg …
        Training_01.txt, Testing_01.txt … Testing_10.txt

    Splits: test is official, ``partition`` of ten, of 50 training and 50 test images a class;
    validation is 10 % of the training images, of each class alike, by hash (``split_seed``). VTAB
    divides all 108,753 images otherwise.
    Place: Princeton University: SUN Database, scene categorization benchmark.
    Paper: Xiao et al., SUN Database: Large-scale Scene Recognition from Abbey to Zoo, CVPR 2010.
    Terms: for research; the images are their owners'.
    """

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = names.words("sun397")
    partition: Annotated[int, Field(ge=1, le=10)] = 1
    split_seed: int = 0

    @property
    def name(self) -> str:
        return "sun397" if self.partition == 1 else f"sun397-{self.partition}"

    @property
    def size(self) -> Size:
        return Size(train=17_865, validation=1_985, test=19_850)

    def missing(self, root: Path) -> Sequence[str]:
        if lines := lacking(root, *self._lists, FOLDER):
            return lines
        return absent(root, self._splits_of(root).paths, " and ".join(self._lists))

    def files(self, root: Path) -> Sequence[str]:
        return [*self._lists, *self._splits_of(root).paths]

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
        return [f"{kind}_{self.partition:02d}.txt" for kind in ("Training", "Testing")]

    def _splits_of(self, root: Path) -> Splits:
        return _read(root, self.partition, self.split_seed)

    @property
    def _splits(self) -> Splits:
        return remembered(_read, self.path, self.partition, self.split_seed)


def _read(root: Path, partition: int, seed: int) -> Splits:
    labels = names.labels("sun397")

    def listed(kind: str) -> Listing:
        file = root / f"{kind}_{partition:02d}.txt"
        found = []
        for line in read_lines(file):
            path = inside(line.strip().removeprefix("/"), file)
            # a/apartment_building/outdoor/sun_….jpg is of "apartment building outdoor"
            said = " ".join(path.split("/")[1:-1]).replace("_", " ")
            found.append((path, f"{FOLDER}/{path}", label_of(labels, said, file)))
        return Listing.of(found)

    train, validation = carved(listed("Training"), VALIDATION_PERCENT, "sun397/validation", seed)
    return Splits(train, validation, listed("Testing"))
