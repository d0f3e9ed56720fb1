"""How VTAB-1k makes its nineteen tasks from data sets in the order of TFDS: splits and labels.

Zhai et al. 2019, arXiv 1910.04867, as their code (google-research/task_adaptation) has it. With
these functions an export can be made from the originals, and checked; ``raystudy.tasks.vtab`` reads
one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

CLEVR_DISTANCES = (8.0, 8.5, 9.0, 9.5, 10.0)
KITTI_METRES = (8.0, 20.0, 999.0)
NO_VEHICLE = 1000.0
FEWEST_OBJECTS = 3
"""In an image of CLEVR; there are at most ten."""
NUM_BINS = 16
NUM_TRAIN, NUM_VALIDATION = 800, 200

LEARNT_PERCENT: Mapping[str, int] = {
    **dict.fromkeys(("caltech101", "cifar", "svhn", "clevr_count", "clevr_dist"), 90),
    **dict.fromkeys(("oxford_iiit_pet", "dsprites_loc", "dsprites_ori"), 80),
    **dict.fromkeys(("eurosat", "resisc45"), 60),
}
"""Where there is no validation split: how much of TFDS's ``train`` comes before the validation
images."""
TESTED_PERCENT: Mapping[str, int] = {
    **dict.fromkeys(("eurosat", "resisc45"), 20),
    **dict.fromkeys(("dsprites_loc", "dsprites_ori"), 10),
}
"""Where there is no test split: how much at the end of TFDS's ``train`` is for testing."""


class Slice(NamedTuple):
    """Examples ``first`` … ``last`` − 1 of one of TFDS's splits."""

    split: str
    first: int
    last: int


def slices(dataset: str, sizes: Mapping[str, int]) -> dict[str, Slice]:
    """``train800``, ``val200`` and ``test`` of a data set whose TFDS splits have ``sizes``
    (``{"train": 3060, "test": 6084}``); Caltech101 and Pets are in TFDS as they are here."""
    parts = {"train800": Slice("train", 0, NUM_TRAIN)}
    if dataset.startswith("smallnorb"):
        half = sizes["test"] * 50 // 100
        parts["val200"] = Slice("test", 0, NUM_VALIDATION)
        parts["test"] = Slice("test", half, sizes["test"])
        return parts
    if dataset in LEARNT_PERCENT:
        start = sizes["train"] * LEARNT_PERCENT[dataset] // 100
        parts["val200"] = Slice("train", start, start + NUM_VALIDATION)
    else:
        parts["val200"] = Slice("validation", 0, NUM_VALIDATION)
    if dataset in TESTED_PERCENT:
        # What comes before is two shares, each rounded down, so that the test split has the rest.
        learnt, held = LEARNT_PERCENT[dataset], 100 - LEARNT_PERCENT[dataset]
        held -= TESTED_PERCENT[dataset]
        start = sizes["train"] * learnt // 100 + sizes["train"] * held // 100
        parts["test"] = Slice("train", start, sizes["train"])
    else:
        split = "validation" if dataset.startswith("clevr") else "test"
        parts["test"] = Slice(split, 0, sizes[split])
    return parts


def clevr_count(num_objects: int) -> int:
    """Three to ten objects are classes 0 to 7."""
    if not FEWEST_OBJECTS <= num_objects < FEWEST_OBJECTS + 8:
        raise ValueError(f"{num_objects} objects; an image of CLEVR shows three to ten")
    return num_objects - FEWEST_OBJECTS


def clevr_distance(depths: Iterable[float]) -> int:
    """Of the nearest object, whose depth (``pixel_coords[:, 2]``) is over none … all of
    ``CLEVR_DISTANCES``."""
    return int(np.searchsorted(CLEVR_DISTANCES, min(depths), side="left"))


def kitti_distance(vehicles: Iterable[float]) -> int:
    """Of the nearest car, van or truck, from its ``location[:, 2]`` in metres: up to 8, up to 20,
    further, or no vehicle (3)."""
    nearest = min((*vehicles, NO_VEHICLE))
    return int(np.searchsorted(KITTI_METRES, nearest, side="left"))


def dsprites_bin(value: int, num_values: int) -> int:
    """Sixteen classes of neighbouring values: ⌊value / (num_values / 16)⌋, of 32 places or 40
    orientations."""
    if not 0 <= value < num_values:
        raise ValueError(f"value {value} is not below {num_values}")
    return value * NUM_BINS // num_values


def dsprites_image(mask: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, 1) of zeros and ones → (H, W, 3) uint8, black and white."""
    plane = np.asarray(mask, np.uint8).reshape(*mask.shape[:2], 1)
    return np.repeat(plane * np.uint8(255), 3, axis=2)
