"""Natural: letters in typefaces that no source of the embedded world uses."""

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

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
FILES = (
    "cmr10.ttf",
    "cmb10.ttf",
    "cmss10.ttf",
    "cmtt10.ttf",
    "cmti10.ttf",
    "STIXGeneralItalic.ttf",
    "STIXGeneralBolIta.ttf",
)
"""Knuth's Computer Modern, and STIX in the slants that sources do without."""


class GlyphLetter(Task):
    """Which of the 26 capital letters, large, in seven unseen faces."""

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = tuple(
        f"latin capital letter {letter}".lower() for letter in LETTERS
    )
    splits: Splits = SPLITS
    seed: int = 0

    @property
    def name(self) -> str:
        return "glyph-letter"

    @property
    def group(self) -> Group:
        return "natural"

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
        return [(name, f"roman {name}", f"slanted {name}") for name in self.class_names]

    @property
    def _scenes(self) -> Scenes:
        return Scenes(self.name, len(self.class_names), draw, FILES, self.splits, self.seed)


def draw(rng: np.random.Generator, label: int) -> Image.Image:
    side = IMAGE_SIZE * rng.uniform(0.5, 0.85)
    mask = ink(LETTERS[label], one_of(rng, FILES), side, rng.uniform(-12, 12))
    return scene(rng, middle(rng, mask))
