"""Structured: where a character is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from PIL import Image

from raystudy.kinds import Examples, Group, Size, Task
from raystudy.tasks.glyph_scenes import IMAGE_SIZE, SPLITS, Scenes, Splits, ink, one_of, scene

ROWS = ("top", "upper", "lower", "bottom")
COLUMNS = ("far left", "left", "right", "far right")
LETTERS = "ABCDEFGHKMNPRSTUVXYZ23456789"
FILES = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf", "STIXGeneral.ttf")


class GlyphPosition(Task):
    """In which cell of a 4 × 4 grid the middle of one small character lies."""

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = tuple(
        f"{row} {column}" for row in ROWS for column in COLUMNS
    )
    splits: Splits = SPLITS
    seed: int = 0

    @property
    def name(self) -> str:
        return "glyph-position"

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
        return [(name, f"a character at the {name}") for name in self.class_names]

    @property
    def _scenes(self) -> Scenes:
        return Scenes(self.name, len(self.class_names), draw, FILES, self.splits, self.seed)


def draw(rng: np.random.Generator, label: int) -> Image.Image:
    cell = IMAGE_SIZE / len(ROWS)
    row, column = divmod(label, len(COLUMNS))
    mask = ink(one_of(rng, LETTERS), one_of(rng, FILES), rng.uniform(7, 11))
    x, y = (np.array([column, row]) + rng.uniform(0.1, 0.9, size=2)) * cell
    return scene(rng, (mask, x, y))
