"""Two models on the same examples."""

import numpy as np
import pytest
from scipy import stats

from raystudy.paired import compare, compare_hits, mcnemar


def losses(num_examples: int, effect: float, seed: int):
    rng = np.random.default_rng(seed)
    common = rng.exponential(size=num_examples)
    a = common + effect + rng.normal(0, 0.5, num_examples)
    return a, common + rng.normal(0, 0.5, num_examples)


def hits(num_examples: int, a: float, b: float, seed: int):
    """Right with chances a and b, with much in common."""
    rng = np.random.default_rng(seed)
    difficulty = rng.random(num_examples)
    own = rng.random((2, num_examples)) < 0.2
    draws = np.where(own, rng.random((2, num_examples)), difficulty)
    return draws[0] < a, draws[1] < b


class TestMeans:
    @pytest.mark.parametrize("effect", [0.0, 0.1, -1.0])
    def test_is_students_paired_t(self, effect: float) -> None:
        a, b = losses(80, effect, 0)
        found, expected = compare(a, b), stats.ttest_rel(a, b)
        low, high = expected.confidence_interval(0.95)
        assert found.difference == pytest.approx(np.mean(a) - np.mean(b))
        assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
        assert (found.low, found.high) == pytest.approx((low, high))

    def test_what_is_common_cancels(self) -> None:
        a, b = losses(400, 0.1, 1)
        found = compare(a, b)
        apart = np.sqrt(np.var(a) / 400 + np.var(b) / 400) * 1.96
        assert found.high - found.difference < 0.7 * apart

    def test_sees_the_minimum_detectable_effect_four_times_in_five(self) -> None:
        effects = [compare(*losses(300, 0.0, s)).minimum_detectable for s in range(50)]
        effect = float(np.mean(effects))
        seen = [compare(*losses(300, effect, s)).p_value < 0.05 for s in range(1, 1001)]
        assert np.mean(seen) == pytest.approx(0.8, abs=0.06)

    def test_the_same_values_do_not_differ(self) -> None:
        a, _ = losses(10, 0, 0)
        found = compare(a, a)
        assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)
        assert compare(np.full(10, 3.0), np.full(10, 1.0)).p_value == 0


class TestHits:
    @pytest.mark.parametrize(("b", "c"), [(0, 0), (3, 3), (0, 6), (10, 25), (400, 300)])
    def test_mcnemar_is_a_fair_coin(self, b: int, c: int) -> None:
        expected = stats.binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
        assert mcnemar(b, c) == pytest.approx(expected, rel=1e-9)
        assert mcnemar(c, b) == mcnemar(b, c)

    def test_mcnemar_is_statsmodels(self) -> None:
        tables = pytest.importorskip(
            "statsmodels.stats.contingency_tables", reason="an oracle where it is installed"
        )
        expected = tables.mcnemar([[50, 9], [21, 20]], exact=True).pvalue
        assert mcnemar(9, 21) == pytest.approx(expected)

    def test_the_interval_is_bonetts_and_prices(self) -> None:
        """Their equation: p̂ with one added to each discordant cell and two to n."""
        a = np.r_[np.ones(61), np.zeros(39)]
        b = np.r_[np.ones(40), np.zeros(21), np.ones(9), np.zeros(30)]
        found = compare_hits(a, b)
        p12, p21 = 22 / 102, 10 / 102
        half = 1.959963985 * np.sqrt((p12 + p21 - (p12 - p21) ** 2) / 102)
        assert found.difference == pytest.approx(0.12)
        assert (found.low, found.high) == pytest.approx((p12 - p21 - half, p12 - p21 + half))

    @pytest.mark.parametrize("num_examples", [50, 1000])
    def test_the_interval_covers(self, num_examples: int) -> None:
        covers = 0
        truth = 0.05
        for seed in range(1000):
            found = compare_hits(*hits(num_examples, 0.85, 0.8, seed))
            covers += found.low <= truth <= found.high
        assert covers / 1000 > 0.93

    def test_no_disagreement_leaves_doubt(self) -> None:
        found = compare_hits(np.ones(20), np.ones(20))
        assert found.p_value == 1
        assert found.low < 0 < found.high
        assert found.minimum_detectable > 0.1

    def test_sees_the_minimum_detectable_effect_four_times_in_five(self) -> None:
        effect = compare_hits(*hits(2000, 0.8, 0.8, 0)).minimum_detectable
        draws = (hits(2000, 0.8 + effect, 0.8, s) for s in range(1, 801))
        seen = [compare_hits(*d).p_value < 0.05 for d in draws]
        assert np.mean(seen) == pytest.approx(0.8, abs=0.06)

    def test_other_values_are_refused(self) -> None:
        with pytest.raises(ValueError, match="0 or 1"):
            compare_hits(np.array([0.5, 1]), np.array([0, 1]))


@pytest.mark.parametrize(
    ("a", "b"), [([1.0, 2], [1.0]), ([1.0], [1.0]), ([1.0, np.nan], [1.0, 2.0]), ([], [])]
)
def test_what_cannot_be_paired_is_refused(a, b) -> None:
    for compared in (compare, compare_hits):
        with pytest.raises(ValueError, match=r"N ≥ 2|finite"):
            compared(a, b)
