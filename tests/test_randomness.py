"""Numbers that belong to (seed, name, item)."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from raystudy.randomness import generator, number, uniform

ids = st.lists(st.text(max_size=20), min_size=1, max_size=50)


@given(ids, st.integers(0, 1000), st.randoms())
def test_a_number_belongs_to_its_item(items: list[str], seed: int, random) -> None:
    shuffled = items[:]
    random.shuffle(shuffled)
    alone = {i: uniform(seed, "test", [i])[0] for i in items}
    assert list(uniform(seed, "test", shuffled)) == [alone[i] for i in shuffled]


def test_numbers_are_uniform_and_independent() -> None:
    items = [str(i) for i in range(20_000)]
    u, v = uniform(0, "a", items), uniform(1, "a", items)
    assert u.min() >= 0
    assert u.max() < 1
    counts = np.histogram(u, 20, (0, 1))[0]
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000)
    assert abs(np.corrcoef(u, v)[0, 1]) < 0.03
    assert abs(np.corrcoef(u, uniform(0, "b", items))[0, 1]) < 0.03


def test_golden() -> None:
    """Update only with a note in CHANGELOG.md: every subset, noise and order changes with it."""
    assert uniform(0, "subset", ["latin-0000000"])[0] == np.float64(GOLDEN_UNIFORM)
    assert number(0, "order", 3) == GOLDEN_NUMBER
    assert generator(0, "order", 3).integers(1000) == GOLDEN_DRAW


GOLDEN_UNIFORM = 0.3410256011020678
GOLDEN_NUMBER = 6279261344190990228
GOLDEN_DRAW = 47
