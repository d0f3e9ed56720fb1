"""One domain of DomainNet: photographs, clip art, sketches and others of the same things."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

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

Domain = Literal["real", "clipart", "painting", "sketch", "infograph", "quickdraw"]
SIZES: Mapping[Domain, tuple[int, int]] = {
    "real": (120_906, 52_041),
    "clipart": (33_525, 14_604),
    "painting": (50_416, 21_850),
    "sketch": (48_212, 20_916),
    "infograph": (36_023, 15_582),
    "quickdraw": (120_750, 51_750),
}
"""Official training and test images, of the cleaned version."""
TEMPLATES: Mapping[Domain, tuple[str, ...]] = {
    "real": ("a photo of a {}.", "a photo of the {}."),
    "clipart": ("a clipart of a {}.", "clip art of the {}."),
    "painting": ("a painting of a {}.", "a painting of the {}."),
    "sketch": ("a sketch of a {}.", "a sketch of the {}."),
    "infograph": ("an infographic of a {}.", "an infographic about the {}."),
    "quickdraw": ("a quick drawing of a {}.", "a doodle of a {}."),
}
VALIDATION_PERCENT = 10


class DomainNet(TaskOnDisk):
    """Things of 345 kinds as they look in one of six domains.

    Layout, of the unpacked archives of the cleaned version (ids are paths below the folder)::

        real/aircraft_carrier/real_001_000001.jpg …
        real_train.txt, real_test.txt              a line: path, number

    A class is known by the folder's name; the numbers in the lists are not read.
    Splits: test is official; validation is 10 % of the official training split, of each class
    alike, by hash (``split_seed``).
    Place: Boston University: DomainNet, Moment Matching for Multi-Source Domain Adaptation.
    Paper: Peng et al., Moment Matching for Multi-Source Domain Adaptation, ICCV 2019, arXiv
    1812.01754.
    Terms: fair use, for research; the images are their owners'.
    """

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = names.words("domainnet")
    domain: Domain
    split_seed: int = 0

    @property
    def name(self) -> str:
        return f"domainnet-{self.domain}"

    @property
    def size(self) -> Size:
        listed, test = SIZES[self.domain]
        validation = -(-listed * VALIDATION_PERCENT // 100)
        return Size(train=listed - validation, validation=validation, test=test)

    def missing(self, root: Path) -> Sequence[str]:
        if lines := lacking(root, *self._lists, self.domain):
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
        return names.prompts(self.class_names, TEMPLATES[self.domain])

    @property
    def _lists(self) -> list[str]:
        return [f"{self.domain}_train.txt", f"{self.domain}_test.txt"]

    def _splits_of(self, root: Path) -> Splits:
        return _read(root, self.domain, self.split_seed)

    @property
    def _splits(self) -> Splits:
        return remembered(_read, self.path, self.domain, self.split_seed)


def _read(root: Path, domain: str, seed: int) -> Splits:
    labels = names.labels("domainnet")

    def listed(split: str) -> Listing:
        file = root / f"{domain}_{split}.txt"
        found = []
        for line in read_lines(file):
            path = inside(line.rpartition(" ")[0], file)
            folders = path.split("/")
            if len(folders) != 3 or folders[0] != domain:
                raise ValueError(f"{file}: '{line}' is not {domain}/<class>/<image> <number>")
            found.append((path, path, label_of(labels, folders[1], file)))
        return Listing.of(found)

    train, validation = carved(
        listed("train"), VALIDATION_PERCENT, f"domainnet-{domain}/validation", seed
    )
    return Splits(train, validation, listed("test"))
