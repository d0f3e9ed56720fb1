"""The nineteen tasks of VTAB-1k, of a thousand training images each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from raystudy.kinds import Examples, Group, Size, TaskOnDisk
from raystudy.tasks import (
    caltech101,
    cifar100,
    dtd,
    euro_sat,
    flowers102,
    names,
    pets,
    resisc45,
    sun397,
    svhn,
)
from raystudy.tasks.listing import (
    Listing,
    Splits,
    absent,
    inside,
    lacking,
    read_lines,
    remembered,
)

Dataset = Literal[
    "caltech101",
    "cifar",
    "dtd",
    "oxford_flowers102",
    "oxford_iiit_pet",
    "sun397",
    "svhn",
    "patch_camelyon",
    "eurosat",
    "resisc45",
    "diabetic_retinopathy",
    "clevr_count",
    "clevr_dist",
    "dmlab",
    "dsprites_loc",
    "dsprites_ori",
    "kitti",
    "smallnorb_azi",
    "smallnorb_ele",
]


class Facts(NamedTuple):
    group: Group
    num_test: int
    classes: tuple[str, ...]
    templates: tuple[str, ...]


TURNED = ("an object rotated at {}.", "something at an angle of {}.")
DATASETS: Mapping[Dataset, Facts] = {
    "caltech101": Facts("natural", 6_084, names.words("caltech101"), caltech101.TEMPLATES),
    "cifar": Facts("natural", 10_000, names.words("cifar100"), cifar100.TEMPLATES),
    "dtd": Facts("natural", 1_880, names.words("dtd"), dtd.TEMPLATES),
    "oxford_flowers102": Facts("natural", 6_149, names.words("flowers102"), flowers102.TEMPLATES),
    "oxford_iiit_pet": Facts("natural", 3_669, names.words("pets"), pets.TEMPLATES),
    "sun397": Facts("natural", 21_750, names.words("sun397"), sun397.TEMPLATES),
    "svhn": Facts("natural", 26_032, svhn.NAMES, svhn.TEMPLATES),
    "patch_camelyon": Facts(
        "specialised",
        32_768,
        ("lymph node", "lymph node containing metastatic tumor tissue"),
        ("this is a photo of {}.", "a histopathology slide showing {}."),
    ),
    "eurosat": Facts("specialised", 5_400, names.words("eurosat"), euro_sat.TEMPLATES),
    "resisc45": Facts("specialised", 6_300, names.words("resisc45"), resisc45.TEMPLATES),
    "diabetic_retinopathy": Facts(
        "specialised",
        42_670,
        tuple(
            f"{degree} diabetic retinopathy"
            for degree in ("no", "mild", "moderate", "severe", "proliferative")
        ),
        ("a retinal image with {}.",),
    ),
    "clevr_count": Facts(
        "structured",
        15_000,
        tuple(
            f"{number} objects"
            for number in ("three", "four", "five", "six", "seven", "eight", "nine", "ten")
        ),
        ("a photo of {}.", "a picture of {}."),
    ),
    "clevr_dist": Facts(
        "structured",
        15_000,
        (
            "nearest object at up to 8",
            *(f"nearest object at {a} to {b}" for a, b in (("8", "8.5"), ("8.5", "9"))),
            *(f"nearest object at {a} to {b}" for a, b in (("9", "9.5"), ("9.5", "10"))),
            "nearest object at over 10",
        ),
        (),
    ),
    "dmlab": Facts(
        "structured",
        22_735,
        tuple(
            f"{how} {what}"
            for what in ("apple or melon", "lemon")
            for how in ("nearby", "far", "very far")
        ),
        ("a photo of a {}.",),
    ),
    "dsprites_loc": Facts(
        "structured",
        73_728,
        tuple(f"object at place {i} of 16 from left to right" for i in range(1, 17)),
        (),
    ),
    "dsprites_ori": Facts(
        "structured", 73_728, tuple(f"{22.5 * i:g} degrees" for i in range(16)), TURNED
    ),
    "kitti": Facts(
        "structured",
        711,
        (
            "a car on my left or right side",
            "a car nearby",
            "a car in the distance",
            "no car",
        ),
        ("a photo i took with {}.",),
    ),
    "smallnorb_azi": Facts(
        "structured", 12_150, tuple(f"{20 * i} degrees" for i in range(18)), TURNED
    ),
    "smallnorb_ele": Facts(
        "structured", 12_150, tuple(f"{30 + 5 * i} degrees" for i in range(9)), TURNED
    ),
}
"""Classes in the order of TFDS's labels; of dSprites and smallNORB, which number them, in words of
ours."""


class Vtab(TaskOnDisk):
    """One of the nineteen tasks of VTAB-1k: 800 training and 200 validation images, and all that
    the data set has for testing.

    Layout: VTAB takes examples in the order of TFDS, which the data sets' own archives do not give;
    so an export of TFDS is read, as it is shared by NOAH, SSF and others, a folder for each
    ``dataset``::

        caltech101/train800.txt, val200.txt, test.txt    a line: path below caltech101/, label
        caltech101/images/…

    Splits: VTAB's. How they and the labels follow from TFDS is in ``raystudy.tasks.vtab_rules``.
    Place: an export from TFDS, or the archive ``vtab-1k`` of ZhangYuanhan-AI/NOAH on GitHub.
    Paper: Zhai et al., A Large-scale Study of Representation Learning with the Visual Task
    Adaptation Benchmark, 2019, arXiv 1910.04867.
    Terms: those of each data set.
    """

    VERSION: ClassVar[int] = 1
    dataset: Dataset

    @property
    def name(self) -> str:
        return f"vtab-{self.dataset.replace('_', '-')}"

    @property
    def class_names(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Those of ``dataset``; other tasks have theirs as a class."""
        return DATASETS[self.dataset].classes

    @property
    def group(self) -> Group:
        return DATASETS[self.dataset].group

    @property
    def size(self) -> Size:
        return Size(train=800, validation=200, test=DATASETS[self.dataset].num_test)

    def missing(self, root: Path) -> Sequence[str]:
        if lines := lacking(root, *self._lists):
            return lines
        return absent(root, self._splits_of(root).paths, f"{self.dataset}/*.txt")

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
        return names.prompts(self.class_names, DATASETS[self.dataset].templates)

    @property
    def _lists(self) -> list[str]:
        return [f"{self.dataset}/{split}.txt" for split in ("train800", "val200", "test")]

    def _splits_of(self, root: Path) -> Splits:
        return _read(root, self.dataset)

    @property
    def _splits(self) -> Splits:
        return remembered(_read, self.path, self.dataset)


def _read(root: Path, dataset: Dataset) -> Splits:
    num_classes = len(DATASETS[dataset].classes)

    def listed(split: str) -> Listing:
        file = root / dataset / f"{split}.txt"
        found = []
        for line in read_lines(file):
            path, _, label = line.strip().rpartition(" ")
            if not path or not label.isdecimal() or int(label) >= num_classes:
                raise ValueError(f"{file}: '{line}' is not a path and a label below {num_classes}")
            found.append((inside(path, file), f"{dataset}/{path}", int(label)))
        return Listing.of(found)

    return Splits(listed("train800"), listed("val200"), listed("test"))
