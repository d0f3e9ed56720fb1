import hashlib
import io
import tarfile
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import get_data_path
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont, features
from pydantic import ValidationError

from raystudy.randomness import generator
from raystudy.shards.image import decode
from raystudy.shards.manifest import Plain, build
from raystudy.shards.read import Reader
from raystudy.sources import glyphs
from raystudy.sources.glyphs import COLOURS, CONTRAST, FACES, FACES_OF, LUMINANCE, Glyphs, Script

SCRIPTS: tuple[Script, ...] = get_args(Script)
LETTERS: tuple[Script, ...] = ("armenian", "georgian", "arabic")


FREETYPE = "2.14.3"
GOLDEN: dict[Script, tuple[str, ...]] = {
    # key, classes, captions and labels, pixels
    "latin": ("4e3c5f23e75872897246", "a4bdc7a7a39c36fd", "0d96074fed062d35", "0781d48a1e70df9c"),
    "greek": ("0f9d724b3b41c23c3332", "fb9dc18069310db0", "603ab6ec2a92d1fc", "ad8c88d3aa5fb66c"),
    "symbols": ("36f60df63ba94ce16458", "2449eae65d607fce", "b8ebdb796a0e0a11", "75a0fd6ea1338fc0"),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_face_of_a_script_has_every_character(script: Script) -> None:
    for file in map(FACES.__getitem__, FACES_OF[script]):
        # asked of FreeType, where the source asks fontTools
        font = FT2Font(str(Path(get_data_path(), "fonts", "ttf", file)))
        missing = [c for c in glyphs.characters(script) if not font.get_char_index(ord(c))]
        assert not missing, f"{file} lacks {missing}"


def test_latin_is_letters_and_digits() -> None:
    names = Glyphs(script="latin").class_names
    assert len(names) == 62
    assert {"digit seven", "latin capital letter a", "latin small letter z"} <= set(names)


def test_greek_holds_two_alphabets() -> None:
    assert {n.split()[0] for n in Glyphs(script="greek").class_names} == {"greek", "cyrillic"}


def test_symbols_are_neither_letters_nor_digits() -> None:
    chars = glyphs.characters("symbols")
    assert len(chars) > 100
    assert {unicodedata.category(c)[0] for c in chars} == {"S"}
    assert not [c for c in chars if unicodedata.numeric(c, None) is not None]
    words = {w for n in Glyphs(script="symbols").class_names for w in n.replace("-", " ").split()}
    assert words.isdisjoint({"digit", "letter", "zero", "one", "two", "three", "four", "eight"})


def test_there_are_seven_distributions() -> None:
    assert len(SCRIPTS) == 7
    drawn = [set(glyphs.characters(script)) for script in SCRIPTS]
    assert all(len(chars) >= 25 for chars in drawn)
    assert sum(map(len, drawn)) == len(set.union(*drawn)), "no character is in two scripts"
    assert all(len(FACES_OF[script]) >= 4 for script in SCRIPTS)


@pytest.mark.parametrize("script", LETTERS)
def test_alphabets_are_letters_of_their_own(script: Script) -> None:
    names = Glyphs(script=script).class_names
    assert {name.split()[0] for name in names} == {script}
    assert {unicodedata.category(c)[0] for c in glyphs.characters(script)} == {"L"}


def test_pictures_are_neither_letters_nor_digits() -> None:
    chars = glyphs.characters("pictures")
    assert {unicodedata.category(c)[0] for c in chars} <= {"S"}
    words = {w for n in Glyphs(script="pictures").class_names for w in n.replace("-", " ").split()}
    assert words.isdisjoint({"digit", "letter", "type"}), "recycling symbols have a digit inside"


@pytest.mark.parametrize("script", [*LETTERS, "symbols", "pictures"])
def test_nothing_passes_for_a_latin_letter_or_a_digit(script: Script) -> None:
    """As ink that covers the same place, both made to fill a square: none does to 80 %, where C and
    c, S and s, V and v do to more than 85 %."""
    known = {c: _shape(c) for c in glyphs.characters("latin")}
    for capital in "CSV":
        assert _overlap(known[capital], known[capital.lower()]) > 0.85
    for character in glyphs.characters(script):
        ink = _shape(character)
        worst = max(known, key=lambda c: _overlap(ink, known[c]))
        assert _overlap(ink, known[worst]) < 0.8, f"{character} looks like {worst}"


def _shape(character: str) -> np.ndarray:
    """Its ink in DejaVu Sans, scaled to fill 24 × 24 pixels; in [0, 1]."""
    font = ImageFont.truetype(str(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), 48)
    left, top, right, bottom = map(int, font.getbbox(character))
    side = max(right - left, bottom - top)
    image = Image.new("L", (side, side))
    place = ((side - left - right) / 2, (side - top - bottom) / 2)
    ImageDraw.Draw(image).text(place, character, font=font, fill=255)
    return np.asarray(image.resize((24, 24), Image.Resampling.BOX)) / 255


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Dice's coefficient."""
    return 2 * np.minimum(a, b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("script", GOLDEN)
def test_the_first_three_scripts_are_as_they_were(script: Script) -> None:
    """Results of many studies are keyed by them. Pixels may differ with another FreeType."""
    key, classes, examples, pixels = GOLDEN[script]
    source = Glyphs(script=script, num_examples=400, image_size=32)
    drawn = [source.example(i) for i in range(40)]
    assert source.key == key
    assert _digest([glyphs.characters(script).encode()]) == classes
    lines = [f"{e.id} {e.label} {e.caption}\n".encode() for e in drawn]
    assert _digest(lines) == examples
    if features.version("freetype2") == FREETYPE:
        assert _digest(e.image.tobytes() for e in drawn) == pixels


def _digest(parts: Iterable[bytes]) -> str:
    return hashlib.blake2b(b"".join(parts), digest_size=8).hexdigest()


@given(i=st.integers(0, 10**6), seed=st.integers(0, 9), script=st.sampled_from(SCRIPTS))
@settings(max_examples=60, deadline=None)
def test_an_example_depends_on_nothing_but_its_name(i: int, seed: int, script: Script) -> None:
    once = Glyphs(script=script, seed=seed, num_examples=500).example(i)
    Glyphs(script=script, seed=seed).example(i + 1)
    again = Glyphs(script=script, seed=seed).example(i)
    assert once.id == again.id == f"{script}-{i:07d}"
    assert (once.label, once.caption) == (again.label, again.caption)
    assert once.image.tobytes() == again.image.tobytes()


def test_seeds_give_other_pictures() -> None:
    a, b = (Glyphs(script="latin", seed=s).example(0).image.tobytes() for s in (0, 1))
    assert a != b


@pytest.mark.parametrize("script", SCRIPTS)
def test_any_prefix_is_balanced(script: Script) -> None:
    source = Glyphs(script=script)
    num_classes = len(source.class_names)
    labels = [source.example(i).label for i in range(2 * num_classes + num_classes // 2)]
    for size in (num_classes, 2 * num_classes, len(labels)):
        counts = Counter(labels[:size])
        assert len(counts) == num_classes
        assert max(counts.values()) - min(counts.values()) <= 1
    assert labels[:num_classes] != sorted(labels[:num_classes])


def test_the_caption_tells_what_is_to_be_seen() -> None:
    source = Glyphs(script="latin")
    for i in range(200):
        example = source.example(i)
        what, colours = example.caption.split(", ")
        assert what.endswith(source.class_names[example.label])
        typeface = what.removesuffix(source.class_names[example.label]).split()[-1]
        assert typeface in {face for face, _, _ in FACES}
        front, back = colours.split(" on ")
        pixels = np.asarray(example.image).reshape(-1, 3)
        if " " not in back:
            colour, _ = Counter(map(tuple, pixels.tolist())).most_common(1)[0]
            assert colour in (COLOURS[back], COLOURS[front])
            assert tuple(COLOURS[back]) in map(tuple, pixels.tolist())


@given(seed=st.integers(0, 10**9))
@settings(max_examples=300, deadline=None)
def test_characters_contrast_with_their_background(seed: int) -> None:
    style = glyphs.draw_style(generator(seed, "test"))
    front, start, end = (LUMINANCE[c] for c in (style.foreground, style.background, style.fades_to))
    for share in (0, 0.25, 0.5, 0.75, 1):
        assert abs((1 - share) * start + share * end - front) > CONTRAST


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_class_leaves_ink_inside_the_frame(script: Script) -> None:
    typeface = "serif" if ("serif", "bold", "upright") in FACES_OF[script] else "sans"
    style = glyphs.Style(typeface, "bold", "upright", "white", "black", "black", False)
    for n, character in enumerate(glyphs.characters(script)):
        for size in (16, 32):
            image = glyphs.render(character, style, size, generator(n, "test"))
            ink = np.asarray(image.convert("L")) > 64
            assert image.size == (size, size)
            assert ink.sum() >= size // 8, character
            assert ink[1:-1, 1:-1].sum() > 0.5 * ink.sum(), f"{character} lies outside"


def test_shards_are_the_examples_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    source = Glyphs(script="latin", num_examples=2100, image_size=16)
    for name in "ab":
        source.render(tmp_path / name)
    paths, again = (sorted((tmp_path / name).glob("*.tar")) for name in "ab")
    assert [p.name for p in paths] == ["00000.tar", "00001.tar"]
    assert [p.read_bytes() for p in paths] == [p.read_bytes() for p in again]
    with tarfile.open(paths[1]) as tar:
        members = tar.getmembers()
        assert len(members) == 3 * 100
        assert {m.mtime for m in members} == {0}
        png = tar.extractfile("latin-0002099.png")
        assert png is not None
        with Image.open(io.BytesIO(png.read())) as image:
            assert image.tobytes() == source.example(2099).image.tobytes()


def test_shards_are_read_back_whole(tmp_path: Path) -> None:
    source = Glyphs(script="greek", num_examples=150)
    source.render(tmp_path)
    manifest = build(Plain(str(tmp_path)))
    table = manifest.rows(0).to_pylist()
    assert manifest.class_names == source.class_names
    assert not manifest.faults
    for i, row in enumerate(table):
        example = source.example(i)
        (data,) = Reader().read([(f"{tmp_path}/{row['path']}", row["offset"], row["size"])])
        assert isinstance(data, bytes)
        assert (row["id"], row["label"], row["caption"]) == (
            example.id,
            example.label,
            example.caption,
        )
        np.testing.assert_array_equal(decode(data, 32), np.asarray(example.image))
    assert len(table) == 150


def test_too_few_examples_are_refused() -> None:
    Glyphs(script="latin", num_examples=62).check()
    with pytest.raises(ValueError, match=r"num_examples=61 .* at least 62"):
        Glyphs(script="latin", num_examples=61).check()


def test_an_unknown_script_is_refused() -> None:
    with pytest.raises(ValidationError, match="script"):
        Glyphs(script="runes")  # pyright: ignore[reportArgumentType]


def test_missing_fonts_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matplotlib.get_data_path", lambda: str(tmp_path))
    glyphs.characters.cache_clear()
    with pytest.raises(FileNotFoundError, match=r"DejaVuSans\.ttf is missing; reinstall"):
        Glyphs(script="latin").check()
