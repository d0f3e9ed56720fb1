"""Corrupted test images that were published: ImageNet-C's folders, CIFAR-10-C's arrays.

Hendrycks and Dietterich, ICLR 2019, arXiv 1903.12261. Shifts have the names that
``raystudy.tasks.corruptions`` gives those that it draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raystudy.kinds import Examples, Integers
from raystudy.tasks.corruptions import KINDS, SEVERITIES, name_of, parsed
from raystudy.tasks.listing import Listing, class_folders, lacking

SHIFTS = tuple(name_of(kind, severity) for kind in KINDS for severity in SEVERITIES)
LABELS = "labels.npy"
ARRAYS = (LABELS, *(f"{kind}.npy" for kind in KINDS))


def missing_folders(root: Path) -> list[str]:
    """Of ImageNet-C: gaussian_noise/1/n01440764/… for each corruption and severity."""
    kinds: Sequence[str] = KINDS
    return lacking(root, *kinds) or lacking(root, *map(_folder, SHIFTS))


def in_folders(root: Path, shift: str, labels: Mapping[str, int]) -> Listing:
    """Ids are those of the images that were corrupted: paths below the folder of the severity."""
    return class_folders(root, _folder(shift), labels)


def missing_arrays(root: Path) -> list[str]:
    """Of CIFAR-10-C or CIFAR-100-C."""
    return lacking(root, *ARRAYS)


def in_array(root: Path, shift: str, clean: Examples, numbers: Integers) -> Examples:
    """The test images ``clean``, whose labels the files give as ``numbers`` (N,), corrupted.

    An array has the images of severity 1 in the order of the test split, then those of severity 2
    …. Raises OSError, and ValueError for arrays of other images.
    """
    kind, severity = parsed(shift)
    first = (severity - 1) * len(clean)
    rows = slice(first, first + len(clean))
    shape = (len(clean) * len(SEVERITIES), *clean.array.shape[1:])
    images = _array(root / f"{kind}.npy", shape)[rows]
    if (_array(root / LABELS, shape[:1])[rows] != numbers).any():
        raise ValueError(f"{root / LABELS}: not the labels of this test split; download it again")
    return Examples(clean.ids, images, clean.labels)


def _folder(shift: str) -> str:
    kind, severity = parsed(shift)
    return f"{kind}/{severity}"


def _array(file: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Mapped. Raises OSError, and ValueError for what is no such array."""
    try:
        found = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{file}: not an array of numpy's ({error})") from None
    if found.shape != shape or found.dtype.kind not in "ui":
        raise ValueError(f"{file}: {found.dtype} of {found.shape}, not bytes of {shape}")
    return found
