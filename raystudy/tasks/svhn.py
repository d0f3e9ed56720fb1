"""House numbers in the street."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from raystudy.kinds import Examples, Integers, Size, TaskOnDisk
from raystudy.tasks import names
from raystudy.tasks.carve import carved
from raystudy.tasks.listing import Listing, Splits, lacking, remembered

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEMPLATES = (
    'a photo of the number: "{}".',
    "a photo of the number {} written on a sign.",
    "an outdoor house number {}.",
    "the number {} in the center of the image.",
)
FILES = ("train_32x32.mat", "test_32x32.mat")
VALIDATION_PERCENT = 10


class SVHN(TaskOnDisk):
    """Single digits of house numbers, 32 × 32 pixels, cut from photographs of streets.

    Layout, of the cropped version; the additional images (``extra``) are not used::

        train_32x32.mat, test_32x32.mat

    The files are MATLAB's version 5, which scipy reads without running anything that they hold.
    Splits: test is official; validation is 10 % of the official training split (VTAB's share), of
    each class alike, by hash (``split_seed``).
    Place: Stanford University: The Street View House Numbers Dataset.
    Paper: Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning, NIPS
    Workshop 2011.
    Terms: for non-commercial use.
    """

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = NAMES
    split_seed: int = 0

    @property
    def name(self) -> str:
        return "svhn"

    @property
    def size(self) -> Size:
        return Size(train=65_931, validation=7_326, test=26_032)

    def missing(self, root: Path) -> Sequence[str]:
        return lacking(root, *FILES)

    def files(self, root: Path) -> Sequence[str]:
        return FILES

    def num_train(self) -> Sequence[int]:
        return self._splits.train.counts(len(self.class_names))

    def train(self) -> Examples:
        return self._examples(self._splits.train)

    def validation(self) -> Examples:
        return self._examples(self._splits.validation)

    def _test(self, shift: str | None) -> Examples:
        return self._examples(self._splits.test)

    def prompts(self) -> Sequence[Sequence[str]]:
        return names.prompts(self.class_names, TEMPLATES)

    @property
    def _splits(self) -> Splits:
        return remembered(_read, self.path, self.split_seed)

    def _examples(self, listing: Listing) -> Examples:
        file = Path(self.path) / (listing.paths[0] if listing.paths else FILES[0])
        rows = [int(id.rpartition("-")[2]) for id in listing.ids]
        pixels = _array(file, "X")
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[2] != 3:
            raise ValueError(f"{file}: X is not (32, 32, 3, N) of bytes")
        images = np.ascontiguousarray(pixels[..., rows].transpose(3, 0, 1, 2))
        return Examples(listing.ids, images, listing.labels)


def _read(root: Path, seed: int) -> Splits:
    known, test = map(partial(_listing, root), FILES)
    train, validation = carved(known, VALIDATION_PERCENT, "svhn/validation", seed)
    return Splits(train, validation, test)


def _listing(root: Path, file: str) -> Listing:
    """Ids are ``train-00000`` …, in the order of the file."""
    labels: Integers = _array(root / file, "y").reshape(-1).astype(np.int64)
    if not len(labels) or labels.min() < 0 or labels.max() > 10:
        raise ValueError(f"{root / file}: y is not digits, with ten for zero")
    split = file.partition("_")[0]
    ids = tuple(f"{split}-{i:05d}" for i in range(len(labels)))
    return Listing(ids, (file,) * len(ids), labels % 10)


def _array(file: Path, name: str) -> np.ndarray[Any, Any]:
    """Raises OSError or ValueError."""
    from scipy.io import loadmat  # only where such files are read

    try:
        found: Any = loadmat(str(file), variable_names=[name])
        return np.asarray(found[name])
    except OSError:
        raise
    except Exception as error:  # scipy's reader raises nearly anything on damaged files
        raise ValueError(f"{file}: no array '{name}' of MATLAB's ({error!r})") from None
