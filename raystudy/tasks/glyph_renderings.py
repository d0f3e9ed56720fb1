"""Four ways to draw a character, each in typefaces of its own: the domains of ``GlyphDomains``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

from raystudy.tasks.glyph_scenes import IMAGE_SIZE, ink, one_of

Rendering = Callable[[np.random.Generator, str], NDArray[np.uint8]]
"""A picture (32, 32, 3) of a character."""
Domain = Literal["handwritten", "outlined", "photographed", "printed"]
Plane = NDArray[np.float64]
"""(32, 32): how much of each pixel is covered, from 0 to 1."""

FILES: Mapping[Domain, tuple[str, ...]] = {
    "handwritten": ("cmti10.ttf", "STIXGeneralItalic.ttf", "DejaVuSansMono-Oblique.ttf"),
    "outlined": ("DejaVuSans-Bold.ttf", "DejaVuSerif-Bold.ttf", "STIXGeneralBol.ttf"),
    "photographed": ("DejaVuSans.ttf", "DejaVuSansMono.ttf", "cmss10.ttf"),
    "printed": ("DejaVuSerif.ttf", "STIXGeneral.ttf", "cmr10.ttf"),
}
NEIGHBOURS = "acemnorsuvxzABEHKMNRT"
"""Of printed characters. They stand on the line that those stand on."""
LARGE = 64
"""Pixels of a character's longer side before it is shrunk to the picture."""


def handwritten(rng: np.random.Generator, character: str) -> NDArray[np.uint8]:
    """Thin and slanted, with a wavering hand, in blue ink on ruled yellowish paper."""
    mask = _large(rng, character, "handwritten", 8)
    shear = rng.uniform(0, 0.35)
    wide = math.ceil(mask.width + shear * mask.height)
    mask = mask.transform(
        (wide, mask.height), Image.Transform.AFFINE, (1, shear, -shear * mask.height, 0, 1, 0)
    )
    covered = _placed(rng, _wavering(rng, mask), (0.5, 0.85))
    paper = rng.uniform([225, 215, 170], [255, 245, 215]) * np.ones((IMAGE_SIZE, IMAGE_SIZE, 3))
    paper[int(rng.integers(4, 10)) :: 8] *= (0.75, 0.85, 1)
    picture = _over(paper, covered, rng.uniform([0, 0, 90], [60, 60, 190]))
    return _pixels(picture + rng.normal(scale=12, size=picture.shape))


def outlined(rng: np.random.Generator, character: str) -> NDArray[np.uint8]:
    """The edges of a bold character alone, light on a dark colour."""
    mask = _large(rng, character, "outlined", 15)
    edge = ImageChops.difference(
        mask.filter(ImageFilter.MaxFilter(3)), mask.filter(ImageFilter.MinFilter(3))
    )
    dark = rng.uniform(0, 90, size=3) * np.ones((IMAGE_SIZE, IMAGE_SIZE, 3))
    return _pixels(_over(dark, _placed(rng, edge, (0.5, 0.9)), rng.uniform(170, 255, size=3)))


def photographed(rng: np.random.Generator, character: str) -> NDArray[np.uint8]:
    """Any two colours, lit from a side, on a stained wall, and out of focus."""
    covered = _placed(rng, _large(rng, character, "photographed", 20), (0.5, 0.8))
    front, back = rng.uniform(40, 215, size=(2, 3))
    while abs(front.mean() - back.mean()) < 70:
        front, back = rng.uniform(40, 215, size=(2, 3))
    stains = 35 * _smooth(rng, 5)[..., None] * rng.uniform(0.5, 1, size=3)
    y, x = np.mgrid[-1 : 1 : 1j * IMAGE_SIZE, -1 : 1 : 1j * IMAGE_SIZE]
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 + 0.35 * (x * np.cos(angle) + y * np.sin(angle))[..., None]
    scene = _pixels((_over(back + stains, covered, front)) * light)
    few = int(rng.integers(16, 22))
    coarse = Image.fromarray(scene).resize((few, few), Image.Resampling.BOX)
    whole = coarse.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC)
    return _pixels(np.asarray(whole) + rng.normal(scale=6, size=scene.shape))


def printed(rng: np.random.Generator, character: str) -> NDArray[np.uint8]:
    """Black on white, in the middle of a line between others."""
    face = one_of(rng, FILES["printed"])
    side = rng.uniform(0.45, 0.7) * IMAGE_SIZE
    mask = ink(character, face, side)
    picture = Image.new("L", (IMAGE_SIZE, IMAGE_SIZE))
    left, top = (round((IMAGE_SIZE - n) / 2 + rng.uniform(-2, 2)) for n in mask.size)
    picture.paste(mask, (left, top))
    for sign in (-1, 1):
        other = ink(one_of(rng, NEIGHBOURS), face, side, beside=character)
        gap = int(rng.integers(1, 4))
        x = left - gap - other.width if sign < 0 else left + mask.width + gap
        picture.paste(other, (x, top + mask.height - other.height))
    covered = np.asarray(picture) / 255
    paper = np.full((IMAGE_SIZE, IMAGE_SIZE, 3), rng.uniform(235, 255))
    return _pixels(_over(paper, covered, np.full(3, rng.uniform(0, 40))))


RENDERINGS: Mapping[Domain, Rendering] = {
    "handwritten": handwritten,
    "outlined": outlined,
    "photographed": photographed,
    "printed": printed,
}
"""In alphabetical order."""


def _large(rng: np.random.Generator, character: str, domain: Domain, turn: float) -> Image.Image:
    """A mask with room around it, turned by at most ``turn`` degrees."""
    mask = ink(character, one_of(rng, FILES[domain]), LARGE, rng.uniform(-turn, turn))
    room = Image.new("L", (mask.width + 12, mask.height + 12))
    room.paste(mask, (6, 6))
    return room


def _placed(rng: np.random.Generator, mask: Image.Image, share: tuple[float, float]) -> Plane:
    """Shrunk to a share of the picture's side, near its middle."""
    mask = mask.crop(mask.getbbox())
    scale = rng.uniform(*share) * IMAGE_SIZE / max(mask.size)
    size = (max(1, round(mask.width * scale)), max(1, round(mask.height * scale)))
    room = [IMAGE_SIZE - length for length in size]
    left, top = (round(r / 2 + rng.uniform(-1, 1) * min(r / 2, 3)) for r in room)
    picture = Image.new("L", (IMAGE_SIZE, IMAGE_SIZE))
    picture.paste(mask.resize(size, Image.Resampling.BOX), (left, top))
    return np.asarray(picture) / 255


def _wavering(rng: np.random.Generator, mask: Image.Image) -> Image.Image:
    """Each row and column moved by a slow wave."""
    pixels = np.asarray(mask)
    for axis in (0, 1):
        along = np.arange(pixels.shape[axis]) / LARGE
        wave = 3.5 * np.sin(2 * np.pi * (rng.uniform(0.7, 1.6) * along + rng.uniform()))
        lines = [
            np.roll(line, int(step))
            for line, step in zip(np.moveaxis(pixels, axis, 0), wave.round(), strict=True)
        ]
        pixels = np.moveaxis(np.stack(lines), 0, axis)
    return Image.fromarray(np.ascontiguousarray(pixels))


def _smooth(rng: np.random.Generator, cells: int) -> Plane:
    """Noise of a few ``cells`` a side, from −1 to 1."""
    coarse = Image.fromarray(rng.uniform(-1, 1, size=(cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC), np.float64)


def _over(
    back: NDArray[np.float64], covered: Plane, front: NDArray[np.float64]
) -> NDArray[np.float64]:
    share = covered[..., None]
    return back * (1 - share) + front * share


def _pixels(picture: NDArray[np.float64]) -> NDArray[np.uint8]:
    return picture.round().clip(0, 255).astype(np.uint8)
