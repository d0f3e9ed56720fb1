import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raystudy.laws.fit import FitError
from raystudy.laws.multiplier import Multiplier, MultiplierStatus, data_multiplier
from raystudy.laws.power import OffsetPower

law = OffsetPower()
SIZES = np.geomspace(1e3, 1e6, 7)


def arm(worth, num_seeds=4, sizes=SIZES, noise=0.0, of_seed=None, seed=0):
    """Runs whose data counts ``worth`` times: error 0.1 + 4·(worth·x)^−0.35."""
    rng = np.random.default_rng(seed)
    x = np.repeat(sizes, num_seeds)
    seeds = np.tile(np.arange(num_seeds), len(sizes))
    y = 0.1 + 4 * (worth * x) ** -0.35 + rng.normal(0, noise, len(x))
    return x, y if of_seed is None else y + of_seed[seeds], seeds


@settings(max_examples=30, deadline=None)
@given(worth=st.floats(1.0, 900))
def test_a_known_multiplier_is_found(worth):
    found = data_multiplier(law, arm(worth), arm(1))
    assert found.status is MultiplierStatus.MEASURED
    assert found.value == pytest.approx(worth, rel=1e-3)
    assert found.low == pytest.approx(worth, rel=1e-3)
    assert found.high == pytest.approx(worth, rel=1e-3)


def test_an_arm_is_worth_once_itself_whatever_its_noise():
    noisy = arm(1, noise=0.01)
    found = data_multiplier(law, noisy, noisy)
    assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))
    assert found.text == "×1 (1 … 1)"


def test_the_interval_holds_the_truth_under_noise():
    found = data_multiplier(law, arm(5, 8, noise=0.004, seed=1), arm(1, 8, noise=0.004, seed=2))
    assert found.low < 5 < found.high
    assert found.high / found.low < 3


def test_what_a_seed_does_to_both_arms_cancels():
    of_seed = np.random.default_rng(3).normal(0, 0.02, 6)
    together = data_multiplier(law, arm(5, 6, of_seed=of_seed), arm(1, 6, of_seed=of_seed))
    apart = data_multiplier(law, arm(5, 6, of_seed=of_seed), arm(1, 6, of_seed=of_seed[::-1]))
    assert (together.low, together.high) == pytest.approx((5, 5), rel=1e-3)
    assert apart.high > 1.5 * apart.low


def test_an_arm_that_starts_better_gives_a_bound():
    found = data_multiplier(law, arm(5e3), arm(1))
    assert found.status is MultiplierStatus.AT_LEAST
    assert found.value == found.low == pytest.approx(1e3)
    assert np.isposinf(found.high)
    assert found.text == "> ×1000"


def test_an_arm_that_never_gets_there_says_so():
    found = data_multiplier(law, arm(0.5), arm(1))
    assert found.status is MultiplierStatus.NOT_REACHED
    assert found.value == found.high == pytest.approx(1)
    assert found.low == 0
    assert found.text == "not reached"


def test_a_bound_that_resamples_doubt_shows_their_interval():
    found = data_multiplier(law, arm(1020, 6, noise=0.01), arm(1, 6, noise=0.01, seed=9))
    assert 0 < found.low < 1e3
    assert np.isposinf(found.high)
    assert found.text.endswith("… ∞)")


def test_an_arm_of_one_size_is_compared_by_its_mean():
    found = data_multiplier(law, arm(1), arm(8, sizes=np.array([2e4])))
    assert found.value == pytest.approx(1 / 8, rel=1e-3)


def test_one_seed_has_no_interval():
    found = data_multiplier(law, arm(3, 1), arm(1, 1))
    assert found.value == pytest.approx(3, rel=1e-3)
    assert (found.low, found.high) == (0, np.inf)
    assert found.text == "×3 (0 … ∞)"


@pytest.mark.parametrize(
    ("multiplier", "text"),
    [
        (Multiplier(3.14, 2.2, 4.8, MultiplierStatus.MEASURED), "×3.1 (2.2 … 4.8)"),
        (Multiplier(16, 16, np.inf, MultiplierStatus.AT_LEAST), "> ×16"),
        (Multiplier(1, 0, 1, MultiplierStatus.NOT_REACHED), "not reached"),
        (Multiplier(1, 0, 1.4, MultiplierStatus.NOT_REACHED), "not reached (0 … 1.4)"),
        (Multiplier(99.6, 9.96, 1234, MultiplierStatus.MEASURED), "×100 (10 … 1234)"),
    ],
)
def test_text(multiplier, text):
    assert multiplier.text == text


def test_arms_of_other_seeds_are_refused():
    with pytest.raises(FitError, match=r"not paired: a has seeds \[0, 1\], b has \[0, 1, 2\]"):
        data_multiplier(law, arm(2, 2), arm(1, 3))


def test_an_arm_without_a_curve_is_refused():
    with pytest.raises(FitError, match="3 distinct x"):
        data_multiplier(law, arm(2, sizes=SIZES[:2]), arm(1))
