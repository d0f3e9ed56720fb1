"""Filters against polars; of equal images the first that passes stays."""

import random
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from raystudy.sources import curated as module
from raystudy.sources.curated import Curated
from raystudy.sources.mixture import Mixture
from raystudy.subset import ordered, subset

from .shelf import ByExample, ByShard, Row, Written, catalogue, everything, listed

LANGUAGES = ("en", "fr", "de", None)
CAPTIONS = ("", "one", " two  words ", "now\u3000three\twords", "and these are five words")


def known_rows(random: random.Random, count: int) -> list[Row]:
    def score() -> float | None:
        return random.choice((None, 0.0, 0.1, 0.3, 0.5, 0.9))

    return [
        {
            "id": f"{i}",
            "digest": random.randrange(count),
            "width": random.choice((None, 1, 5, 10, 20)),
            "height": random.choice((1, 5, 10, 20)),
            "caption": random.choice(CAPTIONS),
            "similarity": score(),
            "aesthetic": score(),
            "punsafe": score(),
            "pwatermark": score(),
            "language": random.choice(LANGUAGES),
        }
        for i in range(count)
    ]


WIDE, TALL = pl.col("width"), pl.col("height")
SHORT, LONG = pl.min_horizontal(WIDE, TALL), pl.max_horizontal(WIDE, TALL)
NUM_WORDS = pl.col("caption").map_elements(lambda c: len(c.split()), return_dtype=pl.Int64)
MADE_OF = {
    "min_similarity": (0.1, pl.col("similarity") >= pl.lit(0.1, pl.Float32)),
    "min_aesthetic": (0.3, pl.col("aesthetic") >= pl.lit(0.3, pl.Float32)),
    "max_punsafe": (0.5, pl.col("punsafe") <= pl.lit(0.5, pl.Float32)),
    "max_pwatermark": (0.3, pl.col("pwatermark") <= pl.lit(0.3, pl.Float32)),
    "languages": (("fr", "en"), pl.col("language").is_in(["en", "fr"])),
    "min_side": (5, WIDE.is_not_null() & (SHORT >= 5)),
    "max_aspect": (2, WIDE.is_not_null() & (LONG / SHORT <= 2)),
    "caption_words": ((1, 3), NUM_WORDS.is_between(1, 3)),
}
"""Field → value, and what polars says of it."""


@settings(deadline=None, max_examples=60)
@given(
    st.sets(st.sampled_from(sorted(MADE_OF))),
    st.booleans(),
    st.sampled_from([ByExample, ByShard]),
    st.builds(random.Random, st.integers(0, 2**32)),
)
def test_filters_are_those_of_polars(fields, deduplicate, cls, random) -> None:
    source = cls()
    of = catalogue(a=listed(known_rows(random, 60), cuts=4))
    curated = Curated(source=source, deduplicate=deduplicate, **{f: MADE_OF[f][0] for f in fields})
    tables = list(ordered(source, of, 5).tables)
    frame = pl.DataFrame(pl.from_arrow(pa.concat_tables(tables)))
    frame = frame.filter(*(MADE_OF[f][1] for f in fields))
    if deduplicate:
        frame = frame.unique("digest", keep="first", maintain_order=True)
    assert [row["id"] for row in everything(curated, of, 5)] == frame["id"].to_list()


def test_a_bound_is_inclusive_at_the_precision_of_the_column() -> None:
    of = catalogue(a=listed({"id": f"{p}", "punsafe": p} for p in (0.1, 0.2, 0.3)))
    rows = everything(Curated(source=Written(), max_punsafe=0.1), of)
    assert [row["id"] for row in rows] == ["0.1"]
    rows = everything(Curated(source=Written(), max_punsafe=0), of)
    assert rows == []


def test_unknown_digests_are_not_equal_images() -> None:
    rows = [{"id": "a", "digest": None}, {"id": "b", "digest": 2**64 - 1}]
    rows += [{"id": "c", "digest": 2**64 - 1}, {"id": "d", "digest": 2**64 - 2}]
    of = catalogue(a=listed(rows))
    kept = everything(Curated(source=Written(), deduplicate=True), of)
    assert sorted(row["digest"] for row in kept) == [2**64 - 2, 2**64 - 1]


@pytest.mark.parametrize(
    ("field", "value", "column"),
    [
        ("min_similarity", 0.3, "similarity"),
        ("min_aesthetic", 5, "aesthetic"),
        ("max_punsafe", 0.0, "punsafe"),
        ("max_pwatermark", 0.5, "pwatermark"),
        ("languages", ("en",), "language"),
        ("min_side", 9, "width"),
        ("max_aspect", 2, "width"),
        ("deduplicate", True, "digest"),
    ],
)
@pytest.mark.parametrize("source", [Written(), ByShard()])
def test_a_source_without_the_metadata_is_refused(field, value, column, source) -> None:
    of = catalogue(a=listed(({"id": f"{i}", "digest": None} for i in range(20)), cuts=3))
    curated = Curated(source=source, **{field: value})
    message = rf"Curated\.{field}: 'a' has no such metadata, {column} is null in all of its first"
    with pytest.raises(ValueError, match=message):
        subset(curated, 1, of, 0)


def test_not_all_is_read_before_it_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(module, "ENOUGH_TO_TELL", 25)
    shelf = listed(({"id": f"{i}"} for i in range(100)), cuts=10)
    with pytest.raises(ValueError, match="all of its first 30 examples"):
        subset(Curated(source=ByShard(), min_aesthetic=5), 1, catalogue(a=shelf), 0)
    assert sum(shelf.sizes_read) == 30


def test_a_value_that_comes_late_is_waited_for() -> None:
    rows = [{"id": f"{i}", "aesthetic": 6.0 if i == 7 else None} for i in range(60)]
    of = catalogue(a=listed(rows, cuts=20))
    assert [r["id"] for r in everything(Curated(source=ByShard(), min_aesthetic=5), of)] == ["7"]


def test_an_empty_source_is_merely_empty() -> None:
    curated = Curated(source=Written(), min_similarity=0.3)
    with pytest.raises(ValueError, match="exceeds the 0 examples there are once 'a curated' has"):
        subset(curated, 1, catalogue(a=listed([])), 0)


def test_why_the_source_ended_is_passed_on() -> None:
    both = Mixture(sources=(Written(title="a"), Written(title="b")))
    of = catalogue(a=listed({"id": f"{i}"} for i in range(3)), b=listed([{"id": "0"}]))
    with pytest.raises(ValueError, match="the mixture needs more of 'b', which has 1"):
        subset(Curated(source=both, caption_words=(0, 9)), 5, of, 0)


def test_class_names_stay() -> None:
    of = catalogue(a=listed([{"id": "x", "label": 0}], class_names=["cat"]))
    table, names = subset(Curated(source=Written(), label="good"), 1, of, 0)
    assert (table["label"].to_pylist(), names) == ([0], ("cat",))


def test_fields_are_the_identity() -> None:
    plain = Curated(source=Written())
    assert plain.name == "a curated"
    assert Curated(source=Written(), label="good").name == "good"
    assert plain.inputs() == (Written(),)
    assert plain.known_size() is None
    same = [Curated(source=Written(), languages=v).key for v in (("en", "fr"), ("fr", "en", "fr"))]
    assert len({*same, plain.key}) == 2
    assert Curated(source=Written(title="b")).key != plain.key
    with pytest.raises(FileNotFoundError, match="no font for a"):
        plain.check()


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_aspect", 0.5), ("max_punsafe", 2), ("min_side", -1), ("caption_words", (3, 2))],
)
def test_impossible_filters_are_refused(field: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=field):
        Curated(source=Written(), **{field: value})
