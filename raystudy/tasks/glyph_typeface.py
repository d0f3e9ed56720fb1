"""Specialised: typefaces, told apart by the shape of one letter."""

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

LETTERS = "ABCEFGKMQRSTWXabdefgkmqrtwy"
"""Those that the typefaces draw in ways that can be seen at this size."""
FILES = {
    "sans": "DejaVuSans.ttf",
    "serif": "DejaVuSerif.ttf",
    "mono": "DejaVuSansMono.ttf",
    "times": "STIXGeneral.ttf",
    "computer modern": "cmr10.ttf",
    "computer modern sans": "cmss10.ttf",
    "computer modern typewriter": "cmtt10.ttf",
}


class GlyphTypeface(Task):
    """Which of seven typefaces one large letter is set in, all upright and regular."""

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = tuple(f"{name} typeface" for name in FILES)
    splits: Splits = SPLITS
    seed: int = 0

    @property
    def name(self) -> str:
        return "glyph-typeface"

    @property
    def group(self) -> Group:
        return "specialised"

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
        return [(name, f"a letter in {name}") for name in self.class_names]

    @property
    def _scenes(self) -> Scenes:
        return Scenes(
            self.name, len(self.class_names), draw, tuple(FILES.values()), self.splits, self.seed
        )


def draw(rng: np.random.Generator, label: int) -> Image.Image:
    mask = ink(one_of(rng, LETTERS), tuple(FILES.values())[label], 0.85 * IMAGE_SIZE)
    return scene(rng, middle(rng, mask))
