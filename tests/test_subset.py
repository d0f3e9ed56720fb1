"""Subsets and few-shot samples are pure in (id, seed) and nested."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raystudy.subset import few_shot, nested_subset

unique_ids = st.lists(st.text(min_size=1, max_size=12), min_size=2, max_size=60, unique=True)


@given(unique_ids, st.data(), st.integers(0, 99))
def test_subsets_nest_across_sizes(ids: list[str], data: st.DataObject, seed: int) -> None:
    large = data.draw(st.integers(1, len(ids)))
    small = data.draw(st.integers(1, large))
    chosen = [{ids[i] for i in nested_subset(ids, n, seed)} for n in (small, large)]
    assert chosen[0] <= chosen[1]
    assert [len(c) for c in chosen] == [small, large]


@given(unique_ids, st.randoms(), st.integers(0, 99))
def test_a_subset_does_not_depend_on_the_order_of_arrival(ids: list[str], random, seed) -> None:
    shuffled = ids[:]
    random.shuffle(shuffled)
    n = len(ids) // 2 + 1
    first = [ids[i] for i in nested_subset(ids, n, seed)]
    second = [shuffled[i] for i in nested_subset(shuffled, n, seed)]
    assert first == second


def test_seeds_choose_different_subsets() -> None:
    ids = [str(i) for i in range(1000)]
    a, b = (set(nested_subset(ids, 100, seed)) for seed in (0, 1))
    assert len(a & b) < 40  # 10 expected by chance


def test_too_large_a_subset_is_refused() -> None:
    with pytest.raises(ValueError, match="size 5 exceeds the 3 examples"):
        nested_subset(["a", "b", "c"], 5, 0)


@given(st.integers(2, 6), st.integers(3, 10), st.integers(0, 99), st.randoms())
def test_few_shot_is_stratified_nested_and_pure(classes, per_class, seed, random) -> None:
    labels = np.repeat(np.arange(classes), per_class)
    order = list(range(len(labels)))
    random.shuffle(order)
    ids = [f"x{i}" for i in order]
    labels = labels[order]
    drawn = {}
    for shots in (1, 2, 3):
        rows = few_shot(ids, labels, shots, "task", seed)
        assert np.bincount(labels[rows]).tolist() == [shots] * classes
        drawn[shots] = {ids[i] for i in rows}
    assert drawn[1] <= drawn[2] <= drawn[3]
    assert sorted(few_shot(ids, labels, None, "task", seed)) == list(range(len(ids)))
    straight = sorted(range(len(ids)), key=lambda i: ids[i])
    again = few_shot([ids[i] for i in straight], labels[straight], 2, "task", seed)
    assert {ids[straight[i]] for i in again} == drawn[2]


def test_few_shot_names_the_class_that_is_too_small() -> None:
    with pytest.raises(ValueError, match="digits: class 1 has 1 examples, not 2"):
        few_shot(["a", "b", "c"], np.array([0, 0, 1]), 2, "digits", 0)
