"""Caption noise by slips of the finger."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal, TypeVar

import numpy as np

from raystudy.kinds import Annotations, Noise
from raystudy.noise.draws import hits
from raystudy.noise.words import words_of
from raystudy.spec import Rate

T = TypeVar("T")

MIN_LETTERS = 3
"""Shorter words are left alone: one slip turns them into others."""
ROWS = (("qwertyuiop", 0.0), ("asdfghjkl", 0.25), ("zxcvbnm", 0.75))
"""A QWERTY keyboard, and how far right each row begins, in keys."""
_PLACES = {key: (start + x, y) for y, (row, start) in enumerate(ROWS) for x, key in enumerate(row)}
NEIGHBOURS = {
    a: [b for b, (u, v) in _PLACES.items() if 0 < (x - u) ** 2 + (y - v) ** 2 < 2]
    for a, (x, y) in _PLACES.items()
}
"""Each letter's keys all around."""
JOINERS = "\u200c\u200d"
WORD = re.compile(r"\S+")


class Typos(Noise):
    """In a hit caption each word of three letters or more is mistyped with probability
    ``per_word``, and one is in any case: two letters swapped, one left out, one doubled, or a
    neighbouring key hit (after Belinkov and Bisk 2018, arXiv 1711.02173). One slip a word.

    What is mistyped at one ``per_word`` is mistyped at a larger one too, in the same way. A letter
    and the marks upon it move together, and all but letters stays as it is. Where a hit caption
    has no word that long, the realised rate falls short of ``rate``.
    """

    corrupts: ClassVar[Literal["label", "caption"]] = "caption"
    rate: Rate
    per_word: Rate = 0.3

    @property
    def name(self) -> str:
        return f"typos-{self.rate:g}x{self.per_word:g}"

    @property
    def nominal_rate(self) -> float:
        return self.rate

    def corrupt(self, clean: Annotations, seed: int) -> Annotations:
        captions = list(clean.captions)
        rows = np.flatnonzero(hits(self, clean, self.rate, seed))
        for row, words, (draws, slips) in words_of(clean, rows, seed, "noise/word", "noise/slip"):
            long = [k for k, word in enumerate(words) if _is_long(word)]
            if not long:
                continue
            # The word forced is the first to go as per_word grows, so that typos nest in it.
            least = min(draws[k] for k in long)
            for k in long:
                if draws[k] < self.per_word or draws[k] == least:
                    words[k] = mistype(words[k], slips[k])
            rest = iter(words)
            captions[row] = WORD.sub(lambda _, rest=rest: next(rest), captions[row])
        return replace(clean, captions=captions)


def mistype(word: str, draw: float) -> str:
    """``word``, which has two letters or more, with one slip drawn by ``draw`` in [0, 1)."""
    signs = _signs(word)
    letters = [i for i, sign in enumerate(signs) if sign[0].isalpha()]
    pairs = [i for i in letters if i + 1 in letters and signs[i] != signs[i + 1]]
    on_keys = [i for i in letters if signs[i].lower() in NEIGHBOURS]
    slips = [("drop", letters), ("double", letters), ("swap", pairs), ("key", on_keys)]
    (slip, places), draw = _pick([s for s in slips if s[1]], draw)
    i, draw = _pick(places, draw)
    match slip:
        case "drop":
            signs[i] = ""
        case "double":
            signs[i] *= 2
        case "swap":
            signs[i : i + 2] = signs[i + 1], signs[i]
        case "key":
            key, _ = _pick(NEIGHBOURS[signs[i].lower()], draw)
            signs[i] = key.upper() if signs[i].isupper() else key
    return "".join(signs)


def _is_long(word: str) -> bool:
    num_letters = len(word) if word.isalpha() else sum(map(str.isalpha, word))
    return num_letters >= MIN_LETTERS


def _signs(word: str) -> list[str]:
    """The characters of ``word``, each with the marks and joiners that follow it."""
    if word.isascii():
        return list(word)
    signs: list[str] = []
    for character in word:
        if signs and (unicodedata.category(character)[0] == "M" or character in JOINERS):
            signs[-1] += character
        else:
            signs.append(character)
    return signs


def _pick(options: Sequence[T], draw: float) -> tuple[T, float]:
    """One of ``options``, and what is left of the draw, uniform in [0, 1) again."""
    place, rest = divmod(draw * len(options), 1)
    return options[int(place)], rest
