"""The fifteen corruptions of Hendrycks and Dietterich, at five severities each.

*Benchmarking Neural Network Robustness to Common Corruptions and Perturbations*, ICLR 2019, arXiv
1903.12261. Each severity is a setting below: those of CIFAR-10-C for small images, those of
ImageNet-C for images of 224 pixels. What a corruption draws is a function of (corruption, severity,
id), so the same image is always corrupted alike.

They are drawn here, not by a library: the published code and its descendants draw from numpy's
global state, know the larger settings alone, and bring a second OpenCV. Three things differ from
the published images: frost is drawn, since its photographs cannot be shipped; nothing is stored as
JPEG afterwards; and what is drawn is other noise of the same kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raystudy.randomness import generator
from raystudy.tasks import distortions

Kind = Literal[
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
]
Severity = Literal[1, 2, 3, 4, 5]
KINDS: tuple[Kind, ...] = get_args(Kind)
SEVERITIES: tuple[Severity, ...] = get_args(Severity)

SMALL = 64
"""Pixels of the longer side up to which an image is corrupted as those of CIFAR are."""
SIDE, SHORTER = 224, 256
"""Larger images are first made as ImageNet-C's were: the shorter side to 256 pixels, and of that
the middle square of 224."""


def name_of(kind: Kind, severity: Severity) -> str:
    """Of the shift: ``gaussian_noise-3``."""
    return f"{kind}-{severity}"


def parsed(shift: str) -> tuple[Kind, Severity]:
    """The inverse. Raises KeyError for what is no corruption."""
    return _NAMED[shift]


def corrupt(image: NDArray[np.uint8], kind: Kind, severity: Severity, id: str) -> NDArray[np.uint8]:
    """An image (H, W, 3), corrupted: of its own size up to ``SMALL`` pixels a side, else (224, 224,
    3)."""
    small = max(image.shape[:2]) <= SMALL
    pixels = (image if small else middle_square(image)) / 255
    setting = SETTINGS[kind].small[severity - 1] if small else SETTINGS[kind].large[severity - 1]
    rng = generator(0, f"corruption/{name_of(kind, severity)}", id)
    changed = getattr(distortions, kind)(pixels, setting, rng)
    return (changed.clip(0, 1) * 255).astype(np.uint8)  # cut off, not rounded, as published


def middle_square(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What torchvision's Resize(256) and CenterCrop(224) leave of it."""
    picture = Image.fromarray(image)
    shortest = min(picture.size)
    size = (SHORTER * picture.width // shortest, SHORTER * picture.height // shortest)
    left, top = (round((length - SIDE) / 2) for length in size)
    resized = picture.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(resized.crop((left, top, left + SIDE, top + SIDE)))


class Settings(NamedTuple):
    """By severity."""

    small: Sequence[Any]
    large: Sequence[Any]


def _elastic(side: int, *shares: tuple[float, float, float]) -> list[tuple[float, ...]]:
    return [tuple(side * share for share in severity) for severity in shares]


SETTINGS: dict[Kind, Settings] = {
    # Standard deviation; photons at full brightness; share of channels.
    "gaussian_noise": Settings((0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38)),
    "shot_noise": Settings((500, 250, 100, 75, 50), (60, 25, 12, 5, 3)),
    "impulse_noise": Settings((0.01, 0.02, 0.03, 0.05, 0.07), (0.03, 0.06, 0.09, 0.17, 0.27)),
    # Radius, blur of the disk's edge.
    "defocus_blur": Settings(
        ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    ),
    # Standard deviation of the blur, how far a pixel may come from, rounds.
    "glass_blur": Settings(
        ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    ),
    # Radius, standard deviation.
    "motion_blur": Settings(
        ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    ),
    # Largest factor, step.
    "zoom_blur": Settings(
        ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    ),
    # Mean and deviation of the flakes, their size, threshold, radius and deviation of their fall,
    # how much of the image is left.
    "snow": Settings(
        (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
    ),
    # How much of the image, how much of the frost.
    "frost": Settings(
        ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
        ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    ),
    # How much fog, how fast its detail decays.
    "fog": Settings(
        ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    ),
    "brightness": Settings((0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5)),
    "contrast": Settings((0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05)),
    # Pixels: strength and smoothness of the displacement, reach of the affine map. 244 is not a
    # slip of ours.
    "elastic_transform": Settings(
        _elastic(
            32,
            (0, 0, 0.08),
            (0.05, 0.2, 0.07),
            (0.08, 0.06, 0.06),
            (0.1, 0.04, 0.05),
            (0.1, 0.03, 0.03),
        ),
        _elastic(
            244,
            (2, 0.7, 0.1),
            (2, 0.08, 0.2),
            (0.05, 0.01, 0.02),
            (0.07, 0.01, 0.02),
            (0.12, 0.01, 0.02),
        ),
    ),
    # Share of the side; JPEG's quality.
    "pixelate": Settings((0.95, 0.9, 0.85, 0.75, 0.65), (0.6, 0.5, 0.4, 0.3, 0.25)),
    "jpeg_compression": Settings((80, 65, 58, 50, 40), (25, 18, 15, 10, 7)),
}
_NAMED: dict[str, tuple[Kind, Severity]] = {
    name_of(kind, severity): (kind, severity) for kind in KINDS for severity in SEVERITIES
}
