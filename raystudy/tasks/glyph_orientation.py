"""Structured: which way up a character is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from PIL import Image

from raystudy.kinds import Examples, Group, Size, Task
from raystudy.tasks.glyph_scenes import (
    IMAGE_SIZE,
    SPLITS,
    Scenes,
    Splits,
    ink,
    middle,
    one_of,
    scene,
)

NUM_BINS = 16
LETTERS = "FGJLPR"
"""None looks like itself or like another of them when it is turned."""
FILES = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf")


class GlyphOrientation(Task):
    """By how much one large letter is turned, in sixteen bins of the circle."""

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = tuple(
        f"turned by {360 * i / NUM_BINS:g} degrees" for i in range(NUM_BINS)
    )
    splits: Splits = SPLITS
    seed: int = 0

    @property
    def name(self) -> str:
        return "glyph-orientation"

    @property
    def group(self) -> Group:
        return "structured"

    @property
    def size(self) -> Size:
        return self._scenes.size

    def check(self) -> None:
        self._scenes.check()

    def num_train(self) -> Sequence[int]:
        return self._scenes.num_train()

    def train(self) -> Examples:
        return self._scenes.examples("train")

    def validation(self) -> Examples:
        return self._scenes.examples("validation")

    def _test(self, shift: str | None) -> Examples:
        return self._scenes.examples("test")

    def prompts(self) -> Sequence[Sequence[str]]:
        return [(name, f"a letter {name}") for name in self.class_names]

    @property
    def _scenes(self) -> Scenes:
        return Scenes(self.name, len(self.class_names), draw, FILES, self.splits, self.seed)


def draw(rng: np.random.Generator, label: int) -> Image.Image:
    """Anticlockwise, up to 0.4 of a bin off its middle."""
    degrees = (label + rng.uniform(-0.4, 0.4)) * 360 / NUM_BINS
    mask = ink(one_of(rng, LETTERS), one_of(rng, FILES), 0.7 * IMAGE_SIZE, degrees)
    return scene(rng, middle(rng, mask))
