"""Scenes seen from above."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from raystudy.kinds import Examples, Size, TaskOnDisk
from raystudy.tasks import names
from raystudy.tasks.carve import carved
from raystudy.tasks.listing import Splits, class_folders, lacking, remembered

TEMPLATES = (
    "satellite imagery of {}.",
    "aerial imagery of {}.",
    "satellite photo of a {}.",
    "aerial photo of a {}.",
    "satellite view of the {}.",
    "aerial view of the {}.",
)
FOLDER = "NWPU-RESISC45"
TEST_PERCENT, VALIDATION_PERCENT = 20, 25
"""Of all, and of what is left: a fifth each."""


class Resisc45(TaskOnDisk):
    """Aerial images of 256 × 256 pixels, 45 kinds of scene with 700 of each.

    Layout, of the unpacked archive::

        NWPU-RESISC45/airplane/airplane_001.jpg …

    Splits: none is official; a fifth is for testing and a fifth for validation, of each class
    alike, by hash (``split_seed``): as large as VTAB's, which are other images.
    Place: Northwestern Polytechnical University: NWPU-RESISC45.
    Paper: Cheng et al., Remote Sensing Image Scene Classification: Benchmark and State of the Art,
    Proceedings of the IEEE 2017, arXiv 1703.00121.
    Terms: for research.
    """

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = names.words("resisc45")
    split_seed: int = 0

    @property
    def name(self) -> str:
        return "resisc45"

    @property
    def size(self) -> Size:
        return Size(train=18_900, validation=6_300, test=6_300)

    def missing(self, root: Path) -> Sequence[str]:
        return lacking(root, FOLDER) or lacking(
            root, *(f"{FOLDER}/{folder}" for folder in names.official("resisc45"))
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
    everything = class_folders(root, FOLDER, names.labels("resisc45"))
    rest, test = carved(everything, TEST_PERCENT, "resisc45/test", seed)
    train, validation = carved(rest, VALIDATION_PERCENT, "resisc45/validation", seed)
    return Splits(train, validation, test)
