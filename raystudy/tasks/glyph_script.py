"""Natural: characters of a script that no source of the embedded world holds."""

from __future__ import annotations

import unicodedata
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

LETTERS = "אבגדהוזחטיכלמנסעפצקרשת"
"""The Hebrew alphabet, without the forms that five letters have at the end of a word."""
TALLEST = "ל"
"""Beside which each is drawn, for some are told from others by their size."""
FILES = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSans-Oblique.ttf",
    "DejaVuSans-BoldOblique.ttf",
)


class GlyphScript(Task):
    """Which of the 22 Hebrew letters, large, a little turned, in four styles."""

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = tuple(
        unicodedata.name(letter).lower() for letter in LETTERS
    )
    splits: Splits = SPLITS
    seed: int = 0

    @property
    def name(self) -> str:
        return "glyph-script"

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
        return [(name, f"sans {name}", f"bold sans {name}") for name in self.class_names]

    @property
    def _scenes(self) -> Scenes:
        return Scenes(self.name, len(self.class_names), draw, FILES, self.splits, self.seed)


def draw(rng: np.random.Generator, label: int) -> Image.Image:
    side = IMAGE_SIZE * rng.uniform(0.6, 1.0)
    mask = ink(LETTERS[label], one_of(rng, FILES), side, rng.uniform(-12, 12), TALLEST)
    return scene(rng, middle(rng, mask))
