"""Scenes: small pictures of characters, from which the tasks of the embedded world are made.

Drawn from the fonts that matplotlib ships, without any download. Every example is a function of
(task, split, seed, number), so the splits share no draw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from raystudy.kinds import Examples, Integers, Size
from raystudy.randomness import generator
from raystudy.spec import Positive

Draw = Callable[[np.random.Generator, int], Image.Image]
"""A picture of a label."""
Split = Literal["train", "validation", "test"]
Splits = tuple[Positive, Positive, Positive]
"""How many training, validation and test examples there are."""

SPLITS: Splits = (800, 200, 800)
"""VTAB-1k's way of cutting a thousand labelled examples, and as many again to test on."""
IMAGE_SIZE = 32
CONTRAST = 90
"""Least difference of luminance, of 255, between characters and background."""
LUMINANCE = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601."""
LARGE = 96
"""Pixels of an em at which characters are drawn, before they are turned and shrunk."""


@dataclass(frozen=True)
class Scenes:
    """The splits of one task. ``draw`` makes the picture of a label, ``files`` are its fonts."""

    name: str
    num_classes: int
    draw: Draw
    files: tuple[str, ...]
    splits: Splits
    seed: int

    def check(self) -> None:
        """Raise FileNotFoundError for a font that is missing, ValueError for a split that is too
        small to hold every class."""
        for file in self.files:
            font_path(file)
        if min(self.splits) < self.num_classes:
            raise ValueError(
                f"{self.name}: splits={self.splits} leave some of its {self.num_classes} classes "
                f"without an example; ask for at least {self.num_classes} of each"
            )

    @property
    def size(self) -> Size:
        return Size(*self.splits)

    def num_train(self) -> Sequence[int]:
        return np.bincount(self.labels(self.splits[0]), minlength=self.num_classes).tolist()

    def labels(self, num_examples: int) -> Integers:
        """Class after class in turn, so that no two differ in number by more than one."""
        return np.arange(num_examples) % self.num_classes

    def examples(self, split: Split) -> Examples:
        """Images uint8 (N, 32, 32, 3)."""
        drawn = _drawn(self, split)
        return drawn.take(np.arange(len(drawn)))  # a copy: what is drawn is shared


def ink(
    character: str, file: str, side: float, degrees: float = 0.0, beside: str | None = None
) -> Image.Image:
    """A character as a mask, cut to its outline: turned anticlockwise, and shrunk so that its
    longer side (or that of the character ``beside`` it) was ``side`` pixels before it was turned.
    """
    mask = _large(character, file)
    scale = side / max(_large(beside or character, file).size)
    if degrees:
        mask = mask.rotate(degrees, Image.Resampling.BICUBIC, expand=True)
    size = (max(1, round(mask.width * scale)), max(1, round(mask.height * scale)))
    return mask.resize(size, Image.Resampling.BILINEAR)


def scene(rng: np.random.Generator, *placed: tuple[Image.Image, float, float]) -> Image.Image:
    """Masks, each with the pixel (x, y) of its middle, in one colour on another."""
    front, back = two_colours(rng)
    picture = Image.new("RGB", (IMAGE_SIZE, IMAGE_SIZE), back)
    for mask, x, y in placed:
        place = (round(x - mask.width / 2), round(y - mask.height / 2))
        picture.paste(front, place, mask)
    return picture


def middle(rng: np.random.Generator, mask: Image.Image) -> tuple[Image.Image, float, float]:
    """``mask`` near the middle of the picture, a sixteenth of its side away at most."""
    x, y = IMAGE_SIZE * (0.5 + rng.uniform(-1 / 16, 1 / 16, size=2))
    return mask, x, y


def two_colours(rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Any two that can be told apart in grey."""
    while True:
        front, back = rng.integers(0, 256, size=(2, 3))
        if abs((front - back) @ LUMINANCE) > CONTRAST:
            return tuple(front.tolist()), tuple(back.tolist())


def one_of(rng: np.random.Generator, items: Sequence[str]) -> str:
    return items[int(rng.integers(len(items)))]


def font_path(file: str) -> str:
    """Raises FileNotFoundError if matplotlib's fonts are not where it says."""
    import matplotlib  # not at the top: planning imports this file, and matplotlib is slow

    path = Path(matplotlib.get_data_path(), "fonts", "ttf", file)
    if not path.is_file():
        raise FileNotFoundError(
            f"glyph tasks draw with matplotlib's fonts, and {path} is missing; reinstall matplotlib"
        )
    return str(path)


@lru_cache(maxsize=32)
def _drawn(scenes: Scenes, split: Split) -> Examples:
    num_examples = getattr(scenes.size, split)
    labels = scenes.labels(num_examples)
    images = np.empty((num_examples, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    for i, label in enumerate(labels.tolist()):
        rng = generator(scenes.seed, f"{scenes.name}/{split}", i)
        images[i] = np.asarray(scenes.draw(rng, label))
    ids = [f"{scenes.name}-{scenes.seed}-{split}-{i:05d}" for i in range(num_examples)]
    return Examples(ids, images, labels)


@lru_cache(maxsize=4096)
def _large(character: str, file: str) -> Image.Image:
    font = _font(file)
    left, top, right, bottom = font.getbbox(character)
    mask = Image.new("L", (int(right - left), int(bottom - top)))
    ImageDraw.Draw(mask).text((-left, -top), character, font=font, fill=255)
    return mask.crop(mask.getbbox())


@lru_cache
def _font(file: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_path(file), LARGE, layout_engine=ImageFont.Layout.BASIC)
