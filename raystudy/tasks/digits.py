"""Real handwritten digits: the 1,797 that scikit-learn ships, with five shifts of the test split.

E. Alpaydin and C. Kaynak, *Optical Recognition of Handwritten Digits*, UCI, 1998 (its test part:
8 × 8 pixels of 17 grey levels, 13 writers). Here they are white on black, 32 × 32 RGB.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from raystudy.kinds import Examples, Group, Integers, Size, Task
from raystudy.randomness import generator, uniform

Pixels = NDArray[np.uint8]

IMAGE_SIZE = 32
NUM_TRAIN = 80
NUM_VALIDATION = 20
"""Of each class; what is left (797 in all) is the test split."""

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEMPLATES = (
    "sans {}, white on black",
    "serif {}, white on black",
    "mono {}, white on black",
    "times {}, white on black",
    "bold sans {}, white on black",
    "slanted sans {}, white on black",
    "bold slanted serif {}, white on black",
)
"""As the captions of the embedded world are written."""


class Digits(Task):
    """Ten classes, 800 training, 200 validation and 797 test images, stratified.

    Paper: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998
    """

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = tuple(f"digit {name}" for name in NAMES)
    """The digits' Unicode names, by which a head trained on printed ones is matched."""
    split_seed: int = 0

    @property
    def name(self) -> str:
        return "digits"

    @property
    def group(self) -> Group:
        return "natural"

    @property
    def shifts(self) -> tuple[str, ...]:
        return tuple(SHIFTS)

    @property
    def size(self) -> Size:
        return Size(train=800, validation=200, test=797)

    def check(self) -> None:
        found = importlib.util.find_spec("sklearn")  # finds it without its second of import
        folders = (found and found.submodule_search_locations) or []
        if not any(Path(f, "datasets", "data", "digits.csv.gz").is_file() for f in folders):
            raise FileNotFoundError("Digits: scikit-learn's digits.csv.gz is missing; reinstall it")

    def num_train(self) -> Sequence[int]:
        return (NUM_TRAIN,) * len(NAMES)

    def train(self) -> Examples:
        return self._take("train")

    def validation(self) -> Examples:
        return self._take("validation")

    def _test(self, shift: str | None) -> Examples:
        test = self._take("test")
        if shift is None:
            return test
        shifted = [SHIFTS[shift](x, id) for x, id in zip(test.array, test.ids, strict=True)]
        return Examples(test.ids, np.stack(shifted), test.labels)

    def prompts(self) -> Sequence[Sequence[str]]:
        return [(name, *(t.format(name) for t in TEMPLATES)) for name in self.class_names]

    def _take(self, split: str) -> Examples:
        return _digits().take(_splits(self.split_seed)[split])


def inverted(image: Pixels, id: str) -> Pixels:
    """Black on white."""
    return 255 - image


def blurred(image: Pixels, id: str) -> Pixels:
    """Gaussian blur of 2.5 pixels."""
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(2.5)))


def noisy(image: Pixels, id: str) -> Pixels:
    """Gaussian noise of standard deviation 64 of 255, each channel its own."""
    noise = generator(0, "digits/noisy", id).normal(scale=64, size=image.shape)
    return (image + noise).round().clip(0, 255).astype(np.uint8)


def rotated(image: Pixels, id: str) -> Pixels:
    """By 30 to 45 degrees, one way or the other."""
    rng = generator(0, "digits/rotated", id)
    degrees = rng.uniform(30, 45) * rng.choice([-1, 1])
    return np.asarray(Image.fromarray(image).rotate(degrees, Image.Resampling.BILINEAR))


def cluttered(image: Pixels, id: str) -> Pixels:
    """Three strokes and three blocks in random greys behind the digit."""
    rng = generator(0, "digits/cluttered", id)
    clutter = Image.new("L", (IMAGE_SIZE, IMAGE_SIZE))
    draw = ImageDraw.Draw(clutter)
    for _ in range(3):
        x, y = rng.integers(0, IMAGE_SIZE - 4, size=2).tolist()
        width, height = rng.integers(3, 9, size=2).tolist()
        draw.rectangle((x, y, x + width, y + height), fill=int(rng.integers(60, 160)))
        ends = rng.integers(0, IMAGE_SIZE, size=4).tolist()
        draw.line(ends, fill=int(rng.integers(60, 160)), width=2)
    return np.maximum(image, np.asarray(clutter)[..., None])


SHIFTS: dict[str, Callable[[Pixels, str], Pixels]] = {
    "inverted": inverted,
    "blurred": blurred,
    "noisy": noisy,
    "rotated": rotated,
    "cluttered": cluttered,
}
"""Each a pure function of (image (H, W, 3), id)."""


@lru_cache(maxsize=1)
def _digits() -> Examples:
    from sklearn.datasets import load_digits  # not at the top: it takes a second

    flat, labels = load_digits(return_X_y=True)
    greys = np.rint(np.reshape(flat, (-1, 8, 8)) * (255 / 16)).astype(np.uint8)
    side = (IMAGE_SIZE, IMAGE_SIZE)
    images = [Image.fromarray(g).resize(side, Image.Resampling.BILINEAR) for g in greys]
    inputs = np.stack([np.asarray(image.convert("RGB")) for image in images])
    inputs.flags.writeable = False  # shared by all who ask
    ids = [f"digits-{i:04d}" for i in range(len(inputs))]
    return Examples(ids, inputs, np.asarray(labels, np.int64))


@lru_cache
def _splits(seed: int) -> dict[str, Integers]:
    """Split → rows in the order of the ids."""
    digits = _digits()
    order = np.argsort(uniform(seed, "digits/split", digits.ids), kind="stable")
    of_class = [order[digits.labels[order] == c] for c in range(len(NAMES))]
    ends = {"train": (0, NUM_TRAIN), "validation": (NUM_TRAIN, NUM_TRAIN + NUM_VALIDATION)}
    ends["test"] = (NUM_TRAIN + NUM_VALIDATION, len(order))
    return {
        split: np.sort(np.concatenate([rows[first:last] for rows in of_class]))
        for split, (first, last) in ends.items()
    }
