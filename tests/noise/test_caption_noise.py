"""What becomes of captions, against plain loops and by properties of the text."""

import unicodedata
from collections import Counter
from math import floor, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import chisquare, kstest

from raystudy.kinds import Annotations, Noise
from raystudy.noise.dropped_words import DroppedWords
from raystudy.noise.realised import realised_rate
from raystudy.noise.shuffled_captions import ShuffledCaptions
from raystudy.noise.template_captions import TemplateCaptions
from raystudy.noise.typos import NEIGHBOURS, Typos, mistype
from raystudy.randomness import uniform

from .conftest import CLEAN, NAMES


def captioned(captions: list[str]) -> Annotations:
    num = len(captions)
    return Annotations([f"e{i}" for i in range(num)], np.full(num, -1), captions, ())


def after(noise: Noise, captions: list[str], seed: int = 0) -> list[str]:
    return list(noise.corrupt(captioned(captions), seed).captions)


N = 20_000
DISTINCT = captioned([f"caption number {i} of many others" for i in range(N)])
draws = st.floats(0, 1, exclude_max=True)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
texts = st.lists(text, max_size=8)


@pytest.mark.parametrize(
    "noise",
    [
        ShuffledCaptions(rate=0.3),
        DroppedWords(rate=0.3, share=1),
        Typos(rate=0.3),
        TemplateCaptions(rate=0.3),
    ],
    ids=lambda noise: noise.name,
)
def test_the_realised_rate_is_binomial(noise: Noise) -> None:
    realised = realised_rate(DISTINCT, noise.corrupt(DISTINCT, 0), "caption")
    assert abs(realised - 0.3) <= 5 * sqrt(0.3 * 0.7 / N) + 1 / N
    assert noise.nominal_rate == 0.3


@pytest.mark.parametrize("cls", [ShuffledCaptions, DroppedWords, Typos, TemplateCaptions])
def test_at_most_the_rate_where_text_may_agree(cls: type) -> None:
    many = captioned(["a cat", "a photo of a thing.", "the the", "猫"] * (N // 4))
    realised = realised_rate(many, cls(rate=0.3).corrupt(many, 0), "caption")
    assert 0 < realised <= 0.3 + 5 * sqrt(0.3 * 0.7 / N)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("cls", [ShuffledCaptions, DroppedWords, Typos, TemplateCaptions])
def test_a_hundred_thousand_captions_are_read_once_each(cls: type) -> None:
    """Which takes seconds; comparing each with every other would take hours."""
    many = captioned(
        [f"a large brown dog number {i} sleeping on green grass" for i in range(100_000)]
    )
    assert len(cls(rate=1).corrupt(many, 0).captions) == 100_000


@given(texts, st.integers(0, 99))
def test_any_text_passes(captions: list[str], seed: int) -> None:
    some = captioned(captions)
    for cls in (ShuffledCaptions, DroppedWords, Typos, TemplateCaptions):
        noisy = cls(rate=1).corrupt(some, seed).captions
        assert len(noisy) == len(captions)
        assert all(caption.encode().decode() == caption for caption in noisy)


class TestShuffledCaptions:
    def test_each_gets_the_caption_of_an_earlier_one(self) -> None:
        noisy = ShuffledCaptions(rate=1).corrupt(DISTINCT, 0).captions
        place = {caption: i for i, caption in enumerate(DISTINCT.captions)}
        donors = np.array([place[caption] for caption in noisy])
        rows = np.arange(N)
        assert donors[0] == 0
        assert (donors[1:] < rows[1:]).all()
        # Uniformly any of them: the place among those before is uniform in [0, 1).
        assert kstest((donors[100:] + 0.5) / rows[100:], "uniform").pvalue > 1e-5

    def test_it_follows_its_draws(self) -> None:
        """The same by a loop, where some have no caption to give."""
        hit, to = (uniform(3, f"noise/{name}", CLEAN.ids) for name in ("hit", "to"))
        expected, given = [], []
        for caption, u, v in zip(CLEAN.captions, hit, to, strict=True):
            shuffled = caption and given and u < 0.6
            expected.append(given[floor(v * len(given))] if shuffled else caption)
            if caption:
                given.append(caption)
        assert ShuffledCaptions(rate=0.6).corrupt(CLEAN, 3).captions == expected

    def test_early_captions_are_used_as_often_as_is_said(self) -> None:
        """The k-th of N about rate · ln(N / k) times beside its own."""
        noisy = Counter(ShuffledCaptions(rate=1).corrupt(DISTINCT, 0).captions)
        for first, last in ((100, 200), (1000, 2000), (10_000, 12_000)):
            uses = sum(noisy[DISTINCT.captions[k]] for k in range(first, last))
            expected = sum(np.log(N / k) for k in range(first, last))
            assert abs(uses - expected) < 6 * sqrt(expected)


class TestDroppedWords:
    def test_what_is_left_is_in_order_and_never_nothing(self) -> None:
        for before, now in zip(
            CLEAN.captions, DroppedWords(rate=1).corrupt(CLEAN, 0).captions, strict=True
        ):
            rest = iter(before.split())
            assert all(word in rest for word in now.split())  # a subsequence
            assert bool(now) == bool(before)

    @pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
    def test_each_word_has_its_own_chance(self, share: float) -> None:
        num, length = 3000, 20
        noise = DroppedWords(rate=1, share=share)
        captions = after(noise, [" ".join(map(str, range(length)))] * num)
        kept = Counter(word for caption in captions for word in caption.split())
        # One word is kept where all would go: rare at this length, save at 0.9.
        expected = num * (1 - share + share**length / length)
        counts = [kept[str(k)] for k in range(length)]
        assert chisquare(counts).pvalue > 1e-5
        assert abs(np.mean(counts) - expected) < 5 * sqrt(num * share * (1 - share) / length) + 1

    @given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 99))
    def test_it_nests_across_shares(self, a: float, b: float, seed: int) -> None:
        low, high = sorted((a, b))
        captions = [" ".join(f"{i}.{k}" for k in range(8)) for i in range(20)]
        few, many = (after(DroppedWords(rate=1, share=s), captions, seed) for s in (low, high))
        for more, less in zip(few, many, strict=True):
            assert set(less.split()) <= set(more.split())

    def test_a_caption_that_loses_nothing_keeps_its_white_space(self) -> None:
        assert after(DroppedWords(rate=1, share=0), [" two  words\n"]) == [" two  words\n"]
        assert after(DroppedWords(rate=1, share=1), ["猫が寝ている"]) == ["猫が寝ている"]


def edits(word: str) -> set[str]:
    """Everything that one slip can make of an ASCII word, by trying."""
    out = set()
    for i, letter in enumerate(word):
        if letter.isalpha():
            out |= {word[:i] + word[i + 1 :], word[:i] + letter * 2 + word[i + 1 :]}
            for key in NEIGHBOURS[letter.lower()]:
                out.add(word[:i] + (key.upper() if letter.isupper() else key) + word[i + 1 :])
            if i + 1 < len(word) and word[i + 1].isalpha() and word[i + 1] != letter:
                out.add(word[:i] + word[i + 1] + letter + word[i + 2 :])
    return out


class TestTypos:
    @given(st.from_regex(r"\A[A-Za-z]{2}[A-Za-z'.-]{0,6}[A-Za-z]\Z"), draws)
    def test_a_slip_is_one_slip(self, word: str, draw: float) -> None:
        assert mistype(word, draw) in edits(word)
        assert mistype(word, draw) != word

    @pytest.mark.parametrize("word", ["grass", "Don't", "aaa", "x-ray"])
    def test_every_slip_is_possible(self, word: str) -> None:
        assert {mistype(word, draw) for draw in np.arange(0, 1, 1 / 5000)} == edits(word)

    def test_the_four_slips_are_as_likely(self) -> None:
        """Of a word with different letters, by the length and the letters of the result."""
        kinds: Counter[str] = Counter()
        for draw in uniform(0, "test", map(str, range(8000))):
            new = mistype("plane", float(draw))
            swapped = sorted(new) == sorted("plane")
            kinds["swap" if swapped else str(len(new))] += 1
        assert chisquare(list(kinds.values())).pvalue > 1e-5
        assert set(kinds) == {"swap", "4", "5", "6"}

    @pytest.mark.parametrize(
        ("key", "around"), [("q", "aw"), ("g", "bfhtvy"), ("p", "lo"), ("m", "jkn")]
    )
    def test_neighbours_are_those_of_the_keyboard(self, key: str, around: str) -> None:
        assert "".join(sorted(NEIGHBOURS[key])) == around

    def test_neighbours_are_mutual(self) -> None:
        assert len(NEIGHBOURS) == 26
        assert all(a in NEIGHBOURS[b] for a, keys in NEIGHBOURS.items() for b in keys)

    @given(st.text(st.sampled_from("aëñ漢字мक्षिी\u0301\u0323\u200dß🙂7-"), max_size=12), draws)
    def test_marks_stay_on_their_letters(self, word: str, draw: float) -> None:
        """Every mark of the result follows what it followed before."""
        if sum(map(str.isalpha, word)) < 3:
            return
        new = mistype(word, draw)
        assert new != word

        def bearers(text: str) -> set[tuple[str, str]]:
            pairs, base = set(), ""
            for sign in text:
                if unicodedata.category(sign)[0] == "M":
                    pairs.add((base, sign))
                elif sign != "\u200d":
                    base = sign
            return pairs

        # Only a key of the keyboard brings a letter that was not there; the marks stay on it.
        known = bearers(word) | {(k, s) for b, s in bearers(word) for k in NEIGHBOURS.get(b, ())}
        assert bearers(new) <= known

    @given(text, st.integers(0, 99))
    def test_a_hit_caption_with_a_long_word_changes(self, caption: str, seed: int) -> None:
        long = [w for w in caption.split() if sum(map(str.isalpha, w)) >= 3]
        (now,) = after(Typos(rate=1, per_word=0), [caption], seed)
        assert (now != caption) == bool(long)
        changed = [a for a, b in zip(caption.split(), now.split(), strict=True) if a != b]
        assert len(changed) == bool(long)
        assert "".join(c for c in now if c.isspace()) == "".join(c for c in caption if c.isspace())

    def test_words_are_mistyped_as_often_as_asked(self) -> None:
        num, per_word = 3000, 0.3
        caption = "large brown dogs sleeping on green grass under some trees"
        captions = after(Typos(rate=1, per_word=per_word), [caption] * num)
        pairs = [list(zip(caption.split(), now.split(), strict=True)) for now in captions]
        assert all(a == b for words in pairs for a, b in words if a == "on")
        changed = np.array([sum(a != b for a, b in words) for words in pairs])
        long = 9
        expected = long * per_word + (1 - per_word) ** long
        assert (changed >= 1).all()
        assert abs(changed.mean() - expected) < 5 * sqrt(long * per_word * (1 - per_word) / num)

    @given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 99))
    def test_it_nests_across_shares(self, a: float, b: float, seed: int) -> None:
        low, high = sorted((a, b))
        captions = ["brown dogs sleep under some trees"] * 10
        few, many = (after(Typos(rate=1, per_word=p), captions, seed) for p in (low, high))
        for caption, weak, strong in zip(captions, few, many, strict=True):
            for word, x, y in zip(caption.split(), weak.split(), strong.split(), strict=True):
                assert x in (word, y)


class TestTemplateCaptions:
    def test_it_names_the_class_or_a_thing(self) -> None:
        some = Annotations(
            list("abcd"), np.array([2, -1, 0, 9]), ["a tabby", "a bolt", "", "a dot"], NAMES
        )
        assert TemplateCaptions(rate=1).corrupt(some, 0).captions == [
            *("a photo of a cat.", "a photo of a thing.", "", "a photo of a thing.")
        ]

    def test_braces_of_names_and_templates_are_letters(self) -> None:
        some = Annotations(["a"], np.array([0]), ["x"], ("{} {0.__class__}",))
        noise = TemplateCaptions(rate=1, template="{x} {} %s")
        assert noise.corrupt(some, 0).captions == ["{x} {} {0.__class__} %s"]

    @pytest.mark.parametrize("template", ["a photo", "{} and {}", ""])
    def test_a_template_has_one_place(self, template: str) -> None:
        with pytest.raises(ValidationError, match="once, where the class name goes"):
            TemplateCaptions(rate=1, template=template)

    def test_templates_are_told_apart(self) -> None:
        plain, other = TemplateCaptions(rate=1), TemplateCaptions(rate=1, template="{}")
        assert plain.name != other.name
