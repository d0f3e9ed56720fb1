"""Land use seen from a satellite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from raystudy.kinds import Examples, Size, TaskOnDisk
from raystudy.tasks import names
from raystudy.tasks.carve import carved
from raystudy.tasks.listing import Splits, class_folders, lacking, remembered

TEMPLATES = (
    "a centered satellite photo of {}.",
    "a centered satellite photo of a {}.",
    "a centered satellite photo of the {}.",
)
FOLDER = "2750"
TEST_PERCENT, VALIDATION_PERCENT = 20, 25
"""Of all, and of what is left: a fifth each."""


class EuroSAT(TaskOnDisk):
    """Sentinel-2 images of 64 × 64 pixels in their visible bands, ten kinds of land.

    Layout, of the unpacked archive ``EuroSAT.zip`` (torchvision's ``eurosat``)::

        2750/AnnualCrop/AnnualCrop_1.jpg …

    Splits: none is official; a fifth is for testing and a fifth for validation, of each class
    alike, by hash (``split_seed``): as large as VTAB's, which are other images.
    Place: DFKI: EuroSAT, land use and land cover classification with Sentinel-2.
    Paper: Helber et al., EuroSAT, IEEE J-STARS 2019, arXiv 1709.00029.
    Terms: MIT.
    """

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = names.words("eurosat")
    split_seed: int = 0

    @property
    def name(self) -> str:
        return "eurosat"

    @property
    def size(self) -> Size:
        return Size(train=16_200, validation=5_400, test=5_400)

    def missing(self, root: Path) -> Sequence[str]:
        return lacking(root, FOLDER) or lacking(
            root, *(f"{FOLDER}/{folder}" for folder in names.official("eurosat"))
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
    everything = class_folders(root, FOLDER, names.labels("eurosat"))
    rest, test = carved(everything, TEST_PERCENT, "eurosat/test", seed)
    train, validation = carved(rest, VALIDATION_PERCENT, "eurosat/validation", seed)
    return Splits(train, validation, test)
