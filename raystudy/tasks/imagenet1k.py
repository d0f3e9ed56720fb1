"""ImageNet-1k, and the other test sets that were made for its classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, get_args

from raystudy.kinds import Examples, Size, TaskOnDisk
from raystudy.tasks import imagenet_names, imagenet_others, names, stored_corruptions
from raystudy.tasks.carve import carved
from raystudy.tasks.imagenet_others import Other, Shift
from raystudy.tasks.listing import Splits, class_folders, lacking, remembered

OTHERS: tuple[Other, ...] = get_args(Other)
VALIDATION_PERCENT = 1


class ImageNet1k(TaskOnDisk):
    """ImageNet-1k, tested on its official validation images, and on others where they are given.

    Layout, torchvision's, of folders named by wnid::

        train/n01440764/n01440764_10026.JPEG …
        val/n01440764/ILSVRC2012_val_00000293.JPEG …

    Other test sets, each a folder in its own layout, become shifts by the name of their field:
    ``v2`` ImageNet-V2 (0/ … 999/, Recht et al. 2019, arXiv 1902.10811), ``r`` ImageNet-R (200
    wnids, Hendrycks et al. 2021, arXiv 2006.16241), ``a`` ImageNet-A (200 wnids, Hendrycks et al.
    2021, arXiv 1907.07174), ``sketch`` ImageNet-Sketch (wnids, Wang et al. 2019, arXiv 1905.13549),
    ``objectnet`` ObjectNet (images/, mappings/; the 113 of its 313 classes that ImageNet has, Barbu
    et al. 2019), ``c`` ImageNet-C (gaussian_noise/1/n01440764/ …, Hendrycks and Dietterich 2019,
    arXiv 1903.12261), of which each of 15 corruptions at five severities is a shift.
    Splits: test is official; validation is 1 % of the official training split, of each class alike,
    by hash (``split_seed``).
    Place: https://image-net.org/challenges/LSVRC/2012/.
    Paper: Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, IJCV 2015, arXiv
    1409.0575.
    Terms: non-commercial research and education, after registration; ObjectNet's images are for
    testing only.
    """

    VERSION: ClassVar[int] = 1
    elsewhere: ClassVar[frozenset[str]] = frozenset({"path", "c", *OTHERS})
    v2: str | None = None
    r: str | None = None
    a: str | None = None
    sketch: str | None = None
    objectnet: str | None = None
    c: str | None = None
    split_seed: int = 0

    @property
    def name(self) -> str:
        return "imagenet1k"

    @property
    def class_names(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Read when they are asked for; other tasks have theirs as a class."""
        return imagenet_names.words()

    @property
    def shifts(self) -> tuple[str, ...]:
        return (*self._others, *(stored_corruptions.SHIFTS if self.c else ()))

    @property
    def size(self) -> Size:
        return Size(train=1_268_355, validation=12_812, test=50_000)

    def missing(self, root: Path) -> Sequence[str]:
        folders = [
            f"{split}/{wnid}" for split in ("train", "val") for wnid in imagenet_names.wnids()
        ]
        lines = lacking(root, "train", "val") or lacking(root, *folders)
        for other, folder in self._others.items():
            lines += imagenet_others.missing(other, Path(folder))
        if self.c:
            lines += stored_corruptions.missing_folders(Path(self.c))
        return lines

    def files(self, root: Path) -> Sequence[str]:
        found = list(_read(root, self.split_seed).paths)
        for other, folder in self._others.items():
            found += [f"{other}/{name}" for name in imagenet_others.files(other, Path(folder))]
        if self.c:
            labels = imagenet_names.labels()
            for shift in stored_corruptions.SHIFTS:
                listing = stored_corruptions.in_folders(Path(self.c), shift, labels)
                found += [f"c/{path}" for path in listing.paths]
        return found

    def place(self, name: str) -> Path:
        field, _, rest = name.partition("/")
        if field in ("c", *self._others):
            return Path(getattr(self, field)) / rest
        return Path(self.path) / name

    def num_train(self) -> Sequence[int]:
        return self._splits.train.counts(len(imagenet_names.wnids()))

    def train(self) -> Examples:
        return self._splits.train.examples(self.path)

    def validation(self) -> Examples:
        return self._splits.validation.examples(self.path)

    def _test(self, shift: str | None) -> Examples:
        if shift is None:
            return self._splits.test.examples(self.path)
        if shift in self._others:
            return imagenet_others.examples(shift, self._others[shift], self._other(shift))
        root = Path(self.c or "")
        return stored_corruptions.in_folders(root, shift, imagenet_names.labels()).examples(root)

    def prompts(self) -> Sequence[Sequence[str]]:
        return names.prompts(self.class_names, imagenet_names.templates())

    def classes_of(self, shift: str) -> Sequence[Sequence[int]] | None:
        return self._other(shift).other_classes if shift in self._others else None

    @property
    def _others(self) -> dict[Other, str]:
        """Those that are given, and where."""
        return {other: folder for other in OTHERS if (folder := getattr(self, other))}

    def _other(self, other: Other) -> Shift:
        return remembered(_read_other, self._others[other], other)

    @property
    def _splits(self) -> Splits:
        return remembered(_read, self.path, self.split_seed)


def _read(root: Path, seed: int) -> Splits:
    labels = imagenet_names.labels()
    learnt, test = (class_folders(root, folder, labels) for folder in ("train", "val"))
    train, validation = carved(learnt, VALIDATION_PERCENT, "imagenet1k/validation", seed)
    return Splits(train, validation, test)


def _read_other(root: Path, other: Other) -> Shift:
    return imagenet_others.read(other, root)
