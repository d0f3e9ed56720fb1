"""Many comparisons at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from raystudy.multiplicity import benjamini_hochberg, holm

PROBABILITIES = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@given(PROBABILITIES)
def test_benjamini_hochberg_is_scipys(p) -> None:
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p), abs=1e-12)


@given(PROBABILITIES)
def test_holm_steps_down(p) -> None:
    """By the procedure: reject the smallest while it is at most α / how many remain."""
    adjusted = holm(p)
    for alpha in (0.01, 0.05, 0.3):
        rejected = 0
        for k, value in enumerate(sorted(p)):
            if value * (len(p) - k) > alpha:
                break
            rejected += 1
        assert (adjusted <= alpha).sum() == rejected


@given(PROBABILITIES)
def test_adjusted_values_keep_their_order(p) -> None:
    for adjust in (holm, benjamini_hochberg):
        adjusted = adjust(p)
        assert (adjusted >= np.array(p) - 1e-15).all()
        assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()


def test_statsmodels_agrees() -> None:
    multitest = pytest.importorskip(
        "statsmodels.stats.multitest", reason="an oracle where it is installed"
    )
    p = np.random.default_rng(0).random(40) ** 3
    assert holm(p) == pytest.approx(multitest.multipletests(p, method="holm")[1])
    assert benjamini_hochberg(p) == pytest.approx(multitest.multipletests(p, method="fdr_bh")[1])


def test_a_grid_without_effect_rarely_shows_one() -> None:
    rng = np.random.default_rng(1)
    grids = rng.random((2000, 30))
    assert np.mean([(grid < 0.05).any() for grid in grids]) > 0.7
    assert np.mean([(holm(grid) < 0.05).any() for grid in grids]) < 0.065


@pytest.mark.parametrize("p", [[0.5, np.nan], [-0.1], [1.5], [[0.5]]])
def test_what_is_no_p_value_is_refused(p) -> None:
    for adjust in (holm, benjamini_hochberg):
        with pytest.raises(ValueError, match=r"\[0, 1\]"):
            adjust(p)


def test_no_comparison_is_none() -> None:
    assert len(holm([])) == len(benjamini_hochberg([])) == 0
