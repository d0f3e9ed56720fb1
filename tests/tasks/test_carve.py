"""Splits cut by hash: pure, stratified, and what they always were."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raystudy.tasks.carve import allotted, carved, drawn
from raystudy.tasks.listing import Listing
from raystudy.tasks.table import every_task

COUNTS = (1_087, 2_189, 2_386, 13_158, 2_577)
"""Cassava's."""


def listing(counts: tuple[int, ...] = (30, 7, 1, 100)) -> Listing:
    labels = [label for label, n in enumerate(counts) for _ in range(n)]
    return Listing.of((f"image-{i}", f"{i}.jpg", label) for i, label in enumerate(labels))


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=50), st.floats(0, 1))
def test_shares_add_up_and_are_proportional_to_within_one(counts: list[int], part: float) -> None:
    total = int(part * sum(counts))
    shares = allotted(counts, total)
    assert sum(shares) == total
    for share, count in zip(shares, counts, strict=True):
        assert share <= count
        assert abs(share - total * count / max(1, sum(counts))) < 1


def test_a_fifth_of_cassava_is_as_many_as_were_published() -> None:
    rest, test = carved(listing(COUNTS), 20, "x", 0)
    assert (len(rest), len(test)) == (17_117, 4_280)


def test_both_parts_keep_their_order_and_make_the_whole() -> None:
    whole = listing()
    rest, held = carved(whole, 25, "x", 0)
    assert len(held) == 35  # of 138, rounded up
    place = {id: i for i, id in enumerate(whole.ids)}
    for part in (rest, held):
        places = [place[id] for id in part.ids]
        assert places == sorted(places)
        np.testing.assert_array_equal(part.labels, whole.labels[places])
        assert [whole.paths[i] for i in places] == list(part.paths)
    assert {*rest.ids, *held.ids} == set(whole.ids)


def test_it_depends_on_seed_and_name_and_not_on_order() -> None:
    whole = listing()
    held = set(carved(whole, 25, "x", 0)[1].ids)
    shuffled = whole.take(np.random.default_rng(0).permutation(len(whole)))
    assert set(carved(shuffled, 25, "x", 0)[1].ids) == held
    assert set(carved(whole, 25, "x", 1)[1].ids) != held
    assert set(carved(whole, 25, "y", 0)[1].ids) != held


def test_drawn_takes_so_many_of_each_class_or_says_why_not() -> None:
    rest, held = drawn(listing(), [3, 2, 0, 5], "x", 0)
    assert held.counts(4) == (3, 2, 0, 5)
    assert rest.counts(4) == (27, 5, 1, 95)
    with pytest.raises(ValueError, match="x: class 1 has 7 images, not 8"):
        drawn(listing(), [3, 8, 0, 5], "x", 0)


def test_the_split_is_what_it_always_was() -> None:
    rest, held = carved(listing(), 25, "eurosat/test", 0)
    digest = hashlib.sha256("\n".join([*rest.ids, "/", *held.ids]).encode()).hexdigest()[:16]
    assert digest == "3d0a4bc507ddbf04", (
        "splits cut by hash have changed, so old results are on other images. Update the digest "
        "only together with VERSION of every task that cuts one, and only if the change is meant"
    )


SIZES = {
    # What is published of the whole, and by whom it is counted.
    "cifar100": 60_000,
    "dtd": 5_640,
    "caltech101": 9_144,
    "pets": 7_349,
    "domainnet-real": 172_947,
    "domainnet-clipart": 48_129,
    "cassava": 21_397,
    "eurosat": 27_000,
    "resisc45": 31_500,
    "flowers102": 8_189,
    "svhn": 99_289,
    "sun397": 39_700,
    "digits": 1_797,
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_are_of_the_whole(name: str) -> None:
    size = every_task()[name].size
    assert size.train + size.validation + size.test == SIZES[name]


def test_test_sizes_are_those_of_entezari_et_al() -> None:
    published = {"cifar100": 10_000, "dtd": 1_880, "caltech101": 6_084, "pets": 3_669}
    published |= {"domainnet-real": 52_041, "cassava": 4_280, "eurosat": 5_400}
    assert {name: every_task()[name].size.test for name in published} == published
