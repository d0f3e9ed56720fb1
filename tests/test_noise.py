"""Label noise is pure in (id, seed), nested across rates, and its realised rate is exact."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raystudy.noise import Symmetric, realised_rate

N, C = 4000, 10
IDS = [f"e{i}" for i in range(N)]
LABELS = np.arange(N) % C


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 50))
def test_noise_nests_across_rates(a: float, b: float, seed: int) -> None:
    low, high = sorted((a, b))
    weak = Symmetric(rate=low).labels(IDS[:300], LABELS[:300], C, seed)
    strong = Symmetric(rate=high).labels(IDS[:300], LABELS[:300], C, seed)
    hit = weak != LABELS[:300]
    assert (strong[hit] == weak[hit]).all()


@given(st.randoms(), st.integers(0, 50))
def test_noise_does_not_depend_on_the_order_of_arrival(random, seed: int) -> None:
    order = list(range(300))
    random.shuffle(order)
    straight = Symmetric(rate=0.5).labels(IDS[:300], LABELS[:300], C, seed)
    shuffled = Symmetric(rate=0.5).labels([IDS[i] for i in order], LABELS[order], C, seed)
    assert (shuffled == straight[order]).all()


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 0.6, 1.0])
def test_realised_rate_is_binomial(rate: float) -> None:
    noisy = Symmetric(rate=rate).labels(IDS, LABELS, C, 0)
    realised = realised_rate(LABELS, noisy)
    assert abs(realised - rate) <= 4 * np.sqrt(rate * (1 - rate) / N)
    assert realised == np.mean(noisy != LABELS)


def test_noise_is_uniform_over_the_other_classes() -> None:
    noisy = Symmetric(rate=1.0).labels(IDS, LABELS, C, 0)
    shift = (noisy - LABELS) % C
    counts = np.bincount(shift, minlength=C)
    assert counts[0] == 0
    assert np.abs(counts[1:] - N / 9).max() < 5 * np.sqrt(N / 9)


def test_two_classes_are_needed() -> None:
    with pytest.raises(ValueError, match="two classes or more"):
        Symmetric(rate=0.5).labels(["a"], np.array([0]), 1, 0)
