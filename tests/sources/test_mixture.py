"""A mixture has its proportions at every size, reads no more than it gives, and ends honestly."""

from collections import Counter
from fractions import Fraction
from itertools import count, islice

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from raystudy.shards.table import table_of
from raystudy.sources import mixture as module
from raystudy.sources.mixture import Mixture, turns
from raystudy.subset import subset

from .shelf import ByShard, Listed, Written, catalogue, everything, listed

SHARES = st.lists(st.integers(1, 60), min_size=1, max_size=12)


def parts(names: str) -> tuple[Written, ...]:
    return tuple(Written(title=name) for name in names)


@settings(deadline=None)
@given(SHARES)
@example([60, *[2] * 20])  # by Webster's rule the first part would be six examples early
def test_every_prefix_has_its_proportions_within_one(shares: list[int]) -> None:
    counts = [0] * len(shares)
    for n, part in enumerate(islice(turns(shares), 3 * sum(shares)), start=1):
        counts[part] += 1
        for share, had in zip(shares, counts, strict=True):
            assert abs(had - Fraction(n * share, sum(shares))) < 1


@settings(deadline=None)
@given(SHARES, st.sampled_from([0, 1 << 20]))
def test_turns_are_those_of_a_plain_loop(shares: list[int], max_period: int) -> None:
    """Whoever may have one more and stay within one of its share, the most urgent first."""
    weights = [Fraction(share, sum(shares)) for share in shares]
    counts, expected = [0] * len(shares), []
    for now in range(200):
        may = [i for i, w in enumerate(weights) if counts[i] < (now + 1) * w]
        latest = {i: next(n for n in count(now) if n * weights[i] >= counts[i] + 1) for i in may}
        part = min(may, key=lambda i: (latest[i], i))
        counts[part] += 1
        expected.append(part)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_PERIOD", max_period)
        assert list(islice(turns(shares), 200)) == expected


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.floats(0.01, 10), min_size=1, max_size=4),
    st.integers(1, 9),
    st.sampled_from([3, 1 << 14]),
)
def test_parts_keep_their_order_and_their_share(weights, cuts: int, block: int) -> None:
    names = "abcd"[: len(weights)]
    shelf = {n: listed(({"id": f"{i}"} for i in range(40)), cuts) for n in names}
    source = Mixture(sources=parts(names), weights=tuple(weights))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        rows = everything(source, catalogue(**shelf))
    mixed = [row["id"].split(":") for row in rows]
    orders = [[row["id"] for row in everything(s, catalogue(**shelf))] for s in source.sources]
    for n in range(len(mixed) + 1):
        for i, weight in enumerate(weights):
            of_part = [id for part, id in mixed[:n] if part == str(i)]
            assert of_part == orders[i][: len(of_part)]
            assert abs(len(of_part) - n * weight / sum(weights)) < 1 + 1e-9
    ended = Counter(part for part, _ in mixed)
    assert 40 in ended.values()  # it goes on until a part is used up


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=8), min_size=1, max_size=3),
    st.integers(1, 30),
)
def test_the_least_is_read_of_each_part(sizes: list[list[int]], size: int) -> None:
    names = "abc"[: len(sizes)]
    shelf = {
        name: Listed(
            {f"{s}": table_of({"id": f"{s}-{i}"} for i in range(n)) for s, n in enumerate(of_part)}
        )
        for name, of_part in zip(names, sizes, strict=True)
    }
    source = Mixture(sources=tuple(ByShard(path=name) for name in names))
    try:
        table, _ = subset(source, size, catalogue(**shelf), 0)
    except ValueError:
        return
    given_of = Counter(id.partition(":")[0] for id in table["id"].to_pylist())
    for i, manifest in enumerate(shelf.values()):
        read, given_rows = manifest.sizes_read, given_of[str(i)]
        assert sum(read[:-1]) < given_rows <= sum(read) if given_rows else not read


@pytest.mark.parametrize("weights", [None, (3, 1), (0.1, 0.3), (1, 1000), (0.123456, 0.7)])
@pytest.mark.parametrize("sizes", [(10, 10), (9, 3), (1, 50), (0, 4), (4, 0)])
def test_it_ends_with_its_first_part(weights, sizes: tuple[int, int]) -> None:
    a, b = (Written(title=n, num_examples=s) for n, s in zip("ab", sizes, strict=True))
    of = catalogue(
        a=listed({"id": f"{i}"} for i in range(sizes[0])),
        b=listed({"id": f"{i}"} for i in range(sizes[1])),
    )
    source = Mixture(sources=(a, b), weights=weights)
    known = source.known_size()
    assert known is not None
    assert subset(source, known, of, 0)[0].num_rows == known
    with pytest.raises(ValueError, match=rf"size {known + 1:,} exceeds the {known:,}") as error:
        subset(source, known + 1, of, 0)
    named = {f"'{s.title}', which has {s.num_examples}" for s in (a, b)}
    assert any(text in str(error.value) for text in named)


def test_the_part_that_ran_out_is_named_through_all_that_lies_above() -> None:
    inner = Mixture(sources=parts("ab"), weights=(1, 2))
    outer = Mixture(sources=(inner, *parts("c")), label="outer")
    of = catalogue(
        a=listed({"id": f"{i}"} for i in range(9)),
        b=listed({"id": f"{i}"} for i in range(2)),
        c=listed({"id": f"{i}"} for i in range(9)),
    )
    expected = (
        "size 9 exceeds the 6 examples there are: the mixture needs more of '33.3% a + 66.7% b', "
        "which has 3 (the mixture needs more of 'b', which has 2)"
    )
    with pytest.raises(ValueError) as error:  # noqa: PT011
        subset(outer, 9, of, 0)
    assert str(error.value) == expected


def test_what_is_not_known_is_not_said() -> None:
    assert Mixture(sources=(Written(title="a", num_examples=3), ByShard())).known_size() is None
    odd = Mixture(sources=(Written(num_examples=3),), weights=(1,))
    assert odd.known_size() == 3
    odd = Mixture(
        sources=(Written(title="a", num_examples=3), Written(title="b", num_examples=3)),
        weights=(1 / 3, 0.7777777),
    )
    assert odd.known_size() is None


def test_classes_are_matched_by_name() -> None:
    of = catalogue(
        a=listed(({"id": f"{i}", "label": i} for i in range(-1, 3)), 1, ("cat", "crane", "crane")),
        b=listed(({"id": f"{i}", "label": i} for i in range(-1, 3)), 1, ("dog", "crane", "cat")),
        c=listed(({"id": f"{i}"} for i in range(4)), 1),
    )
    source = Mixture(sources=parts("abc"))
    table, names = subset(source, 12, of, 0)
    assert names == ("cat", "crane", "crane", "dog")
    labels = dict(zip(table["id"].to_pylist(), table["label"].to_pylist(), strict=True))
    assert {k: v for k, v in labels.items() if k[0] == "0"} == {
        **{"0:-1": -1, "0:0": 0, "0:1": 1, "0:2": 2}  # two classes of one name stay two
    }
    assert {k: v for k, v in labels.items() if k[0] == "1"} == {
        **{"1:-1": -1, "1:0": 3, "1:1": 1, "1:2": 0}
    }
    assert {labels[f"2:{i}"] for i in range(4)} == {-1}


def test_a_label_without_a_name_is_refused() -> None:
    of = catalogue(a=listed([{"id": "x", "label": 1}], 1, ["cat"]), b=listed([{"id": "y"}], 1))
    with pytest.raises(ValueError, match="source 'a' has label 1 but 1 class names"):
        subset(Mixture(sources=parts("ab")), 2, of, 0)


def test_a_mixture_is_named_for_its_parts() -> None:
    assert Mixture(sources=parts("ab")).name == "a + b"
    assert Mixture(sources=parts("ab"), weights=(1, 3)).name == "25% a + 75% b"
    assert Mixture(sources=parts("ab"), label="both").name == "both"


def test_parts_are_its_inputs_and_are_checked() -> None:
    source = Mixture(sources=(Written(title="a"), ByShard(path="b")))
    assert source.inputs() == source.sources
    with pytest.raises(FileNotFoundError, match="no font for a"):
        source.check()
    keys = {Mixture(sources=parts(order), weights=(1, 2)).key for order in ("ab", "ba", "ac")}
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sources": parts("ab"), "weights": (1,)}, "has 1 numbers for 2 sources"),
        ({"sources": parts("ab"), "weights": (1, 0)}, "greater than 0"),
        ({"sources": parts("ab"), "weights": (1, float("inf"))}, "finite"),
        ({"sources": parts("aba")}, "has 'a' twice; give it once, with more weight"),
        ({"sources": ()}, "at least 1"),
    ],
)
def test_what_makes_no_mixture_is_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Mixture(**fields)
