"""Structured: how large a character is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from PIL import Image

from raystudy.kinds import Examples, Group, Size, Task
from raystudy.tasks.glyph_scenes import IMAGE_SIZE, SPLITS, Scenes, Splits, ink, one_of, scene

NAMES = ("tiny", "small", "medium", "large", "huge", "full")
SMALLEST, LARGEST = 6.0, 30.0
"""Pixels of the longer side."""
LETTERS = "ABCDEFGHKMNPRSTUVXYZ23456789"
FILES = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf", "STIXGeneral.ttf")


class GlyphSize(Task):
    """Into which of six equal bins the size of one character falls, wherever it is."""

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = tuple(f"{name} character" for name in NAMES)
    splits: Splits = SPLITS
    seed: int = 0

    @property
    def name(self) -> str:
        return "glyph-size"

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
        return [(name, f"a {name}") for name in self.class_names]

    @property
    def _scenes(self) -> Scenes:
        return Scenes(self.name, len(self.class_names), draw, FILES, self.splits, self.seed)


def draw(rng: np.random.Generator, label: int) -> Image.Image:
    """Whole in the picture, and up to 0.4 of a bin off its middle."""
    bin = (LARGEST - SMALLEST) / len(NAMES)
    side = SMALLEST + (label + 0.5 + rng.uniform(-0.4, 0.4)) * bin
    mask = ink(one_of(rng, LETTERS), one_of(rng, FILES), side)
    x, y = (rng.uniform(extent / 2, IMAGE_SIZE - extent / 2) for extent in mask.size)
    return scene(rng, (mask, x, y))
