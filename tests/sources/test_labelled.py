"""Captions that name one class, against a search of every name at every place."""

import re
import time
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from raystudy.sources.labelled import Labelled, matcher, names_of
from raystudy.subset import subset

from .shelf import ByExample, ByShard, Row, Written, catalogue, everything, listed


def naive(classes: list[list[str]], caption: str) -> int:
    """Every place of every name, then whatever lies inside a longer one taken away."""
    text = re.findall("[a-zA-Z]+", caption.lower())
    found = []
    for label, names in enumerate(classes):
        for name in names:
            words = name.lower().split()
            for start in range(len(text) - len(words) + 1):
                if text[start : start + len(words)] == words:
                    found.append((start, start + len(words), label))
    kept = {
        label
        for a, b, label in found
        if not any(c <= a and b <= d and (c, d) != (a, b) for c, d, _ in found)
    }
    return kept.pop() if len(kept) == 1 else -1


NAMES = [" ".join(words) for n in (1, 2, 3) for words in product("abc", repeat=n)]
CLASSES = st.lists(st.sampled_from(NAMES), min_size=1, max_size=8, unique=True).flatmap(
    lambda names: st.lists(st.integers(0, 3), min_size=len(names), max_size=len(names)).map(
        lambda owner: [
            [name for name, o in zip(names, owner, strict=True) if o == label]
            for label in sorted(set(owner))
        ]
    )
)
CAPTION = st.lists(st.sampled_from("aAbBcCd"), max_size=9).flatmap(
    lambda words: st.lists(
        st.sampled_from([" ", "-", ", ", "_"]), min_size=len(words), max_size=len(words)
    ).map(lambda gaps: "".join(w + g for w, g in zip(words, gaps, strict=True)))
)


@settings(max_examples=500, deadline=None)
@given(CLASSES, CAPTION)
def test_a_caption_is_labelled_as_a_plain_search_says(classes, caption: str) -> None:
    assert matcher(classes)(caption) == naive(classes, caption)


@pytest.mark.parametrize(
    ("caption", "label"),
    [
        ("My HOT-DOG!", 2),
        ("a hot dog and a dog", -1),
        ("hot dog, hot dogs", 2),
        ("dogs", -1),
        ("the dog's bone", 0),
        ("golden_retriever.jpg", 0),
        ("golden retrieverdog", -1),
        ("Crème brûlée", 1),
        ("CRE\u0300ME BRU\u0302LE\u0301E", 1),  # accents as characters of their own
        ("creme brulee", -1),
        ("Die STRASSE", 3),
        ("ｄｏｇ", 0),  # full width
        ("यह कुत्ता है", 4),
        ("यह कुत्त है", -1),  # a word that the name begins with
        ("", -1),
        ("。。", -1),
    ],
)
def test_words_are_whole_in_any_case_and_script(caption: str, label: int) -> None:
    classes = ("dog, golden retriever", "crème brûlée", "hot dog", ("Straße",), "कुत्ता")
    assert matcher(names_of(classes))(caption) == label


def test_an_accent_more_is_another_word() -> None:
    assert matcher(names_of(["क"]))("कि") == -1


@pytest.mark.parametrize("source", [Written(), ByExample(), ByShard()])
def test_labels_come_from_captions_alone(source) -> None:
    rows: list[Row] = [
        {"id": "1", "caption": "a tabby", "label": 7},
        {"id": "2", "caption": "a cat and a dog", "label": 0},
        {"id": "3", "caption": "a tree", "label": 0},
        {"id": "4", "caption": "DOG"},
    ]
    made = Labelled(source=source, classes=(("cat", "tabby"), "dog, hound"))
    of = catalogue(a=listed(rows, class_names=["old"]))
    table, names = subset(made, 2, of, 0)
    assert names == ("cat", "dog")
    assert sorted((r["id"], r["label"], r["caption"]) for r in table.to_pylist()) == [
        ("1", 0, "a tabby"),
        ("4", 1, "DOG"),
    ]
    assert len(everything(made, of)) == 2


def test_a_thousand_classes_take_no_time() -> None:
    classes = [f"name{i} of{i % 30} thing" for i in range(1000)]
    captions = [
        f"we see name{i % 1500} of{i % 30} thing near the house today" for i in range(10**4)
    ]
    label_of = matcher(names_of(classes))
    start = time.process_time()
    labels = [label_of(caption) for caption in captions]
    assert time.process_time() - start < 1.5
    assert labels == [
        i % 1500 if i % 1500 < 1000 and i % 30 == i % 1500 % 30 else -1 for i in range(10**4)
    ]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("hot dog", "cat", "Hot-Dog"), "'hot dog' of class 0 and 'Hot-Dog' of class 2 are the"),
        ((("cat", "puss"), "dog, Puss"), "'puss' of class 0 and 'Puss' of class 1 are the same"),
        (("cat", "!"), "'!' of class 1 has no word"),
        (("cat", "dog,"), "'' of class 1 has no word"),
        (("cat", ()), "class 1 has no name"),
        ((), "at least 1"),
    ],
)
def test_names_tell_classes_apart(classes, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Labelled(source=Written(), classes=classes)


def test_fields_are_the_identity() -> None:
    made = Labelled(source=Written(), classes=("cat, puss", "dog"))
    assert made.key == Labelled(source=Written(), classes=(("cat", "puss"), ("dog",))).key
    assert made.key != Labelled(source=Written(), classes=("dog", "cat, puss")).key
    assert made.model_copy(update={"label": "x"}).name == "x"
    assert made.name == "a labelled"
    assert made.inputs() == (Written(),)
    assert made.known_size() is None
    with pytest.raises(FileNotFoundError, match="no font for a"):
        made.check()
