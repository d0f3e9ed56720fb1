"""Structured: how many characters there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from PIL import Image

from raystudy.kinds import Examples, Group, Size, Task
from raystudy.tasks.glyph_scenes import IMAGE_SIZE, SPLITS, Scenes, Splits, ink, one_of, scene

LETTERS = "ABCDEFGHKMNPRSTUVXYZ23456789"
FILES = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf", "STIXGeneral.ttf")
ROWS = 3
"""Of cells, as many as columns, of which no two characters share one."""


class GlyphCount(Task):
    """One to six characters of eight to ten pixels, none on top of another."""

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = (
        "one character",
        "two characters",
        "three characters",
        "four characters",
        "five characters",
        "six characters",
    )
    splits: Splits = SPLITS
    seed: int = 0

    @property
    def name(self) -> str:
        return "glyph-count"

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
        return [(name, f"a picture of {name}") for name in self.class_names]

    @property
    def _scenes(self) -> Scenes:
        return Scenes(self.name, len(self.class_names), draw, FILES, self.splits, self.seed)


def draw(rng: np.random.Generator, label: int) -> Image.Image:
    cell = IMAGE_SIZE / ROWS
    placed = []
    for place in rng.choice(ROWS * ROWS, size=label + 1, replace=False).tolist():
        row, column = divmod(place, ROWS)
        mask = ink(one_of(rng, LETTERS), one_of(rng, FILES), rng.uniform(8, 10))
        x, y = (np.array([column, row]) + 0.5) * cell
        placed.append((mask, x, y))
    return scene(rng, *placed)
