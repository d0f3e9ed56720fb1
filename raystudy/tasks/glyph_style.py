"""Specialised: styles, the same letters in four cuts of four typefaces."""

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

LETTERS = "ABDEFGHIKLMNPRTUabdefghiklmnprtu"
STYLES = {
    "regular": ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral"),
    "bold": ("DejaVuSans-Bold", "DejaVuSerif-Bold", "DejaVuSansMono-Bold", "STIXGeneralBol"),
    "slanted": (
        "DejaVuSans-Oblique",
        "DejaVuSerif-Italic",
        "DejaVuSansMono-Oblique",
        "STIXGeneralItalic",
    ),
    "bold slanted": (
        "DejaVuSans-BoldOblique",
        "DejaVuSerif-BoldItalic",
        "DejaVuSansMono-BoldOblique",
        "STIXGeneralBolIta",
    ),
}
FILES = tuple(f"{face}.ttf" for faces in STYLES.values() for face in faces)


class GlyphStyle(Task):
    """Regular, bold, slanted or both: one large letter."""

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = tuple(f"{style} letter" for style in STYLES)
    splits: Splits = SPLITS
    seed: int = 0

    @property
    def name(self) -> str:
        return "glyph-style"

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
        return [(name, f"a {name}", f"a {name} on a plain background") for name in self.class_names]

    @property
    def _scenes(self) -> Scenes:
        return Scenes(self.name, len(self.class_names), draw, FILES, self.splits, self.seed)


def draw(rng: np.random.Generator, label: int) -> Image.Image:
    face = one_of(rng, tuple(STYLES.values())[label])
    mask = ink(one_of(rng, LETTERS), f"{face}.ttf", IMAGE_SIZE * rng.uniform(0.6, 0.85))
    return scene(rng, middle(rng, mask))
