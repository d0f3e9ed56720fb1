"""Flowers that are common in the United Kingdom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from raystudy.kinds import Examples, Integers, Judged, Size, TaskOnDisk
from raystudy.tasks import names
from raystudy.tasks.listing import Listing, Splits, absent, lacking, remembered

TEMPLATES = ("a photo of a {}, a type of flower.", "a photo of a {}.")
SPLITS, LABELS, FOLDER = "setid.mat", "imagelabels.mat", "jpg"


class Flowers102(TaskOnDisk):
    """Photographs of flowers of 102 kinds.

    Layout, of the unpacked archive and its two tables (torchvision's ``flowers-102``)::

        jpg/image_00001.jpg …
        setid.mat, imagelabels.mat

    The tables are MATLAB's version 5, which scipy reads without running anything that they hold.
    Splits: official; ten images of each class train and ten validate.
    Place: Visual Geometry Group, University of Oxford: 102 Category Flower Dataset.
    Paper: Nilsback and Zisserman, Automated Flower Classification over a Large Number of Classes,
    ICVGIP 2008.
    Terms: none stated.
    """

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = names.words("flowers102")
    metric: ClassVar[Judged] = "mean-per-class"

    @property
    def name(self) -> str:
        return "flowers102"

    @property
    def size(self) -> Size:
        return Size(train=1_020, validation=1_020, test=6_149)

    def missing(self, root: Path) -> Sequence[str]:
        if lines := lacking(root, SPLITS, LABELS, FOLDER):
            return lines
        return absent(root, _read(root).paths, SPLITS)

    def files(self, root: Path) -> Sequence[str]:
        return [SPLITS, LABELS, *_read(root).paths]

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
        return remembered(_read, self.path)


def _read(root: Path) -> Splits:
    labels = _table(root / LABELS, "labels")

    def listed(split: str) -> Listing:
        numbers = _table(root / SPLITS, split)
        if numbers.min() < 1 or numbers.max() > len(labels):
            raise ValueError(f"{root / SPLITS}: {split} names images that {LABELS} does not")
        stems = [f"image_{i:05d}" for i in numbers.tolist()]
        of_split = labels[numbers - 1] - 1
        if of_split.min() < 0 or of_split.max() >= len(names.words("flowers102")):
            raise ValueError(f"{root / LABELS}: labels are not from 1 to 102")
        return Listing(tuple(stems), tuple(f"{FOLDER}/{s}.jpg" for s in stems), of_split)

    return Splits(listed("trnid"), listed("valid"), listed("tstid"))


def _table(file: Path, name: str) -> Integers:
    """(N,). Raises OSError or ValueError."""
    from scipy.io import loadmat  # only where tables are read

    try:
        tables: Any = loadmat(str(file), variable_names=[name])
        return np.asarray(tables[name], np.int64).reshape(-1)
    except OSError:
        raise
    except Exception as error:  # scipy's reader raises nearly anything on damaged files
        raise ValueError(f"{file}: no table '{name}' of MATLAB's ({error!r})") from None
