"""Characters rendered from the fonts that matplotlib ships: labelled images with captions, made
without any download and without end.

Each script is a distribution of its own, seven in all: ``latin`` holds letters and digits,
``greek`` Greek and Cyrillic letters; ``symbols`` arrows, operators and shapes; ``armenian``,
``georgian`` and ``arabic`` letters, the last in their isolated form; ``pictures`` signs of weather,
planets, games and the like. The last five hold nothing that passes for a character of the first
two. The label is the character; the caption is its Unicode name and its style, in words.
"""

from __future__ import annotations

import io
import tarfile
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydantic import Field

from raystudy.kinds import Rendered
from raystudy.randomness import generator

Script = Literal["latin", "greek", "symbols", "armenian", "georgian", "arabic", "pictures"]

Face = tuple[str, str, str]
"""(typeface, weight, slant)."""

SHARD_SIZE = 2000
"""Examples in one tar."""
CONTRAST = 70
"""Least difference of luminance, of 255, between a character and its background."""
NOISE = 18
"""Standard deviation, of 255, of a noisy background."""

BLOCKS: dict[Script, Sequence[tuple[str, str]]] = {
    "latin": [("0", "9"), ("A", "Z"), ("a", "z")],
    "greek": [("Α", "ω"), ("А", "я")],
    "symbols": [("\u2190", "\u21ff"), ("\u2200", "\u22ff"), ("\u25a0", "\u25ff")],
    "armenian": [("\u0531", "\u0556"), ("\u0561", "\u0587")],
    "georgian": [("\u10a0", "\u10c5"), ("\u10d0", "\u10fa")],
    "arabic": [("\u0621", "\u063a"), ("\u0641", "\u064a")],
    "pictures": [("\u2600", "\u2672"), ("\u267a", "\u26b8")],
}
"""Closed ranges of characters, of which those that every face of the script has are used."""
LOOK_ALIKES = frozenset(
    "↾↿⇂⇃∀∂∃∄∆∈∉∋∌∏∐∑∘∙∝∞∣∧∨∩∪∫⊂⊃⊍⊎⊓⊔⊖⊘⊙⊚⊝⊤○◌◦◯"  # symbols
    "ԶԼՁՈաբժըմռրտՂՃՅՇՉՋՍՏՑՓՕգզլծհձղճյնշոչջսցւօ"  # armenian
    "ႠბგევზთიკნპსუყძწხჩჰჳჴჶჷჹႦႨႩႪႬႭႯႱႳႴႶႷႸႹႺႽჂჃჄ"  # georgian
    "آأإاةلهو"  # arabic
    "☈☉☨☊☋☌☓☡☽☾♃♄♆♇♈♉♊♋♍♏♑♓♩♪♭♮⚊⚪⚫⚬⚭⚲"  # pictures
)
"""Characters that pass for a letter or a digit of ``latin`` or ``greek`` at 32 pixels."""
DIGIT_WORDS = frozenset(
    {"digit", "letter", "zero", "one", "two", "three", "four"}
    | {"five", "six", "seven", "eight", "nine"}
)
"""Symbols with one of these words in their Unicode name are left out likewise."""

FACES = {
    ("sans", "regular", "upright"): "DejaVuSans.ttf",
    ("sans", "bold", "upright"): "DejaVuSans-Bold.ttf",
    ("sans", "regular", "slanted"): "DejaVuSans-Oblique.ttf",
    ("sans", "bold", "slanted"): "DejaVuSans-BoldOblique.ttf",
    ("serif", "regular", "upright"): "DejaVuSerif.ttf",
    ("serif", "bold", "upright"): "DejaVuSerif-Bold.ttf",
    ("serif", "regular", "slanted"): "DejaVuSerif-Italic.ttf",
    ("serif", "bold", "slanted"): "DejaVuSerif-BoldItalic.ttf",
    ("mono", "regular", "upright"): "DejaVuSansMono.ttf",
    ("mono", "bold", "upright"): "DejaVuSansMono-Bold.ttf",
    ("mono", "regular", "slanted"): "DejaVuSansMono-Oblique.ttf",
    ("mono", "bold", "slanted"): "DejaVuSansMono-BoldOblique.ttf",
    # STIX slanted has two of the symbols, so it would leave ``symbols`` without classes.
    ("times", "regular", "upright"): "STIXGeneral.ttf",
    ("times", "bold", "upright"): "STIXGeneralBol.ttf",
}
"""The file of each."""
_DEJAVU = [face for face in FACES if face[0] != "times"]
FACES_OF: dict[Script, Sequence[Face]] = {
    "latin": list(FACES),
    "greek": list(FACES),
    "symbols": list(FACES),
    "armenian": _DEJAVU,
    "georgian": [face for face in _DEJAVU if face[0] != "mono"],
    "arabic": [face for face in _DEJAVU if face[0] != "serif" and face[2] == "upright"],
    "pictures": [face for face in _DEJAVU if face[0] == "sans"],
}
"""The faces that draw a script."""
COLOURS = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "red": (200, 30, 30),
    "green": (20, 140, 50),
    "blue": (30, 60, 200),
    "yellow": (240, 210, 40),
    "orange": (240, 130, 20),
    "purple": (120, 40, 150),
    "pink": (240, 150, 190),
    "grey": (128, 128, 128),
}
LUMINANCE = {name: 0.299 * r + 0.587 * g + 0.114 * b for name, (r, g, b) in COLOURS.items()}
"""ITU-R BT.601, out of 255."""
PAIRS = [
    (front, back)
    for front, back in product(COLOURS, repeat=2)
    if abs(LUMINANCE[front] - LUMINANCE[back]) > CONTRAST
]


class Style(NamedTuple):
    """How a character is drawn: everything about its look that a caption says."""

    typeface: str
    weight: str
    slant: str
    foreground: str
    background: str
    fades_to: str
    """The colour at the far side of the background; the same one where it does not fade."""
    is_noisy: bool


class Glyph(NamedTuple):
    """One example: ``image`` is RGB and square, ``label`` an index into the class names."""

    id: str
    image: Image.Image
    label: int
    caption: str


class Glyphs(Rendered):
    """Pictures of characters, as many as asked for, balanced over the classes of a script."""

    VERSION: ClassVar[int] = 1
    script: Script
    num_examples: Annotated[int, Field(gt=0)] = 16_000
    image_size: Annotated[int, Field(ge=8)] = 32
    """Side in pixels."""
    seed: int = 0

    @property
    def name(self) -> str:
        return self.script

    @property
    def class_names(self) -> tuple[str, ...]:
        """Lower-case Unicode names: "digit seven", "latin capital letter a"."""
        return tuple(unicodedata.name(c).lower() for c in characters(self.script))

    def check(self) -> None:
        num_classes = len(characters(self.script))
        if self.num_examples < num_classes:
            raise ValueError(
                f"Glyphs.num_examples={self.num_examples} is fewer than the {num_classes} classes "
                f"of script '{self.script}'; ask for at least {num_classes}"
            )

    def known_size(self) -> int | None:
        return self.num_examples

    def example(self, i: int) -> Glyph:
        """Example ``i``, a pure function of (script, image_size, seed, i)."""
        rng = generator(self.seed, f"glyphs/{self.script}", i)
        chars = characters(self.script)
        label = _class_order(self.seed, self.script)[i % len(chars)]
        style = draw_style(rng, FACES_OF[self.script])
        return Glyph(
            f"{self.script}-{i:07d}",
            render(chars[label], style, self.image_size, rng),
            label,
            caption(chars[label], style),
        )

    def render(self, folder: Path) -> None:
        """Writes ``00000.tar``, … (of each example ``.png``, ``.cls`` and ``.txt``) and
        ``classnames.txt``; the same spec gives the same bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{name}\n" for name in self.class_names)
        (folder / "classnames.txt").write_text(text, encoding="utf-8")
        for first in range(0, self.num_examples, SHARD_SIZE):
            path = folder / f"{first // SHARD_SIZE:05d}.tar"
            with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
                for i in range(first, min(first + SHARD_SIZE, self.num_examples)):
                    _write(tar, self.example(i))


def draw_style(rng: np.random.Generator, faces: Sequence[Face] = tuple(FACES)) -> Style:
    """A look at random; character and background contrast everywhere, fading or not."""
    typeface, weight, slant = faces[int(rng.integers(len(faces)))]
    front, back = PAIRS[rng.integers(len(PAIRS))]
    fades_to, texture = back, rng.random()
    if texture < 1 / 8:
        # On one side of the foreground's luminance, so that no mixture of the two comes near it.
        side = LUMINANCE[back] > LUMINANCE[front]
        ends = [b for f, b in PAIRS if f == front and (LUMINANCE[b] > LUMINANCE[front]) == side]
        fades_to = ends[rng.integers(len(ends))]
    return Style(typeface, weight, slant, front, back, fades_to, is_noisy=texture > 7 / 8)


def caption(character: str, style: Style) -> str:
    """ "bold slanted serif digit seven, white on blue". What is usual (regular, upright, one plain
    background) goes without saying; else "on blue to green" or "on noisy blue"."""
    words = [w for w in (style.weight, style.slant) if w not in ("regular", "upright")]
    words += [style.typeface, unicodedata.name(character).lower()]
    ground = f"noisy {style.background}" if style.is_noisy else style.background
    if style.fades_to != style.background:
        ground += f" to {style.fades_to}"
    return f"{' '.join(words)}, {style.foreground} on {ground}"


def render(character: str, style: Style, image_size: int, rng: np.random.Generator) -> Image.Image:
    """``character`` at random size and place, whole but for a jitter of a sixteenth of the side."""
    image = _background(style, image_size, rng)
    file = FACES[style.typeface, style.weight, style.slant]
    pixels = round(image_size * rng.uniform(0.62, 0.94))
    font = _font(file, pixels)
    left, top, right, bottom = font.getbbox(character)
    side = max(right - left, bottom - top)
    if side > image_size:
        font = _font(file, int(pixels * image_size / side))
        left, top, right, bottom = font.getbbox(character)
    dx, dy = image_size * rng.uniform(-1 / 16, 1 / 16, size=2)
    place = ((image_size - left - right) / 2 + dx, (image_size - top - bottom) / 2 + dy)
    ImageDraw.Draw(image).text(place, character, font=font, fill=COLOURS[style.foreground])
    return image


@lru_cache
def characters(script: Script) -> str:
    """The classes of ``script`` in Unicode's order: what every face of it really has.

    Raises FileNotFoundError if matplotlib's fonts are not where it says.
    """
    from fontTools.ttLib import TTFont  # not at the top: only rendering needs it

    files = (FACES[face] for face in FACES_OF[script])
    cmaps = (TTFont(_font_path(file), lazy=True).getBestCmap() for file in files)
    present = set[int].intersection(*(set(cmap or ()) for cmap in cmaps))
    block = (chr(c) for a, b in BLOCKS[script] for c in range(ord(a), ord(b) + 1))
    return "".join(c for c in block if ord(c) in present and not _misleads(script, c))


def _misleads(script: Script, character: str) -> bool:
    words = unicodedata.name(character).lower().split()
    numbered = script == "symbols" and not DIGIT_WORDS.isdisjoint(words)
    return numbered or character in LOOK_ALIKES


def _background(style: Style, size: int, rng: np.random.Generator) -> Image.Image:
    start, end = COLOURS[style.background], COLOURS[style.fades_to]
    if start == end and not style.is_noisy:
        return Image.new("RGB", (size, size), start)
    colours = np.empty((size, size, 3))
    if style.is_noisy:
        colours[:] = start
        colours += rng.normal(scale=NOISE, size=(size, size, 1))
    else:
        angle, line = rng.uniform(0, 2 * np.pi), np.linspace(-0.5, 0.5, size)
        across = np.add.outer(line * np.sin(angle), line * np.cos(angle))
        share = ((across - across.min()) / np.ptp(across))[..., None]
        colours[:] = np.array(start) * (1 - share) + np.array(end) * share
    return Image.fromarray(colours.round().clip(0, 255).astype(np.uint8))


def _write(tar: tarfile.TarFile, glyph: Glyph) -> None:
    png = io.BytesIO()
    glyph.image.save(png, "PNG", compress_level=1)
    members = {"png": png.getvalue(), "cls": str(glyph.label), "txt": glyph.caption}
    for suffix, content in members.items():
        data = content.encode() if isinstance(content, str) else content
        entry = tarfile.TarInfo(f"{glyph.id}.{suffix}")
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))


@lru_cache
def _class_order(seed: int, script: Script) -> list[int]:
    return generator(seed, f"glyphs/{script}/classes").permutation(len(characters(script))).tolist()


@lru_cache(maxsize=1024)
def _font(file: str, pixels: int) -> ImageFont.FreeTypeFont:
    # One character needs no text shaping, and the basic layout is twice as fast as Raqm.
    return ImageFont.truetype(_font_path(file), pixels, layout_engine=ImageFont.Layout.BASIC)


def _font_path(file: str) -> str:
    import matplotlib  # not at the top: planning imports this file, and matplotlib is slow

    path = Path(matplotlib.get_data_path(), "fonts", "ttf", file)
    if not path.is_file():
        raise FileNotFoundError(
            f"Glyphs draws with matplotlib's fonts, and {path} is missing; reinstall matplotlib"
        )
    return str(path)
