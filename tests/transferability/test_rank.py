"""Rank correlation of scores and outcomes."""

from itertools import combinations

import numpy as np
import pytest

from raystudy.transferability.rank import rank_correlation


def scored(num_models: int, noise: float, seed: int = 0):
    rng = np.random.default_rng(seed)
    outcomes = rng.normal(size=num_models)
    return outcomes + rng.normal(0, noise, num_models), outcomes


def test_plain_counts_pairs() -> None:
    x, y = scored(12, 1.0)
    signs = [np.sign((x[i] - x[j]) * (y[i] - y[j])) for i, j in combinations(range(12), 2)]
    assert rank_correlation(x, y, kind="plain")[0] == pytest.approx(np.mean(signs))


def test_weighted_counts_pairs_of_the_best_most() -> None:
    """Vigna's definition: weights 1/(r+1) of both ranks, averaged over ranking by either."""
    x, y = scored(12, 1.0)

    def tau(rank):
        top = bottom = 0.0
        for i, j in combinations(range(12), 2):
            w = 1 / (rank[i] + 1) + 1 / (rank[j] + 1)
            top += w * np.sign((x[i] - x[j]) * (y[i] - y[j]))
            bottom += w
        return top / bottom

    ranks = [np.argsort(np.argsort(-v)) for v in (x, y)]
    assert rank_correlation(x, y)[0] == pytest.approx(np.mean([tau(r) for r in ranks]))


@pytest.mark.parametrize("kind", ["weighted", "plain"])
class TestInterval:
    def test_a_perfect_ranking_is_1(self, kind) -> None:
        x = np.arange(8.0)
        assert rank_correlation(x, x**3, kind=kind) == pytest.approx((1, 1, 1))

    def test_few_models_say_little(self, kind) -> None:
        widths = []
        for n in (8, 60):
            _, low, high = rank_correlation(*scored(n, 1.0), kind=kind, num_resamples=300)
            widths.append(high - low)
        assert widths[1] < 0.6 * widths[0]

    def test_scores_without_meaning_are_not_told_from_0(self, kind) -> None:
        rng = np.random.default_rng(0)
        holds = 0
        for trial in range(25):
            _, low, high = rank_correlation(
                *rng.normal(size=(2, 20)), kind=kind, num_resamples=100, seed=trial
            )
            holds += low <= 0 <= high
        assert holds >= 20

    @pytest.mark.parametrize(
        ("x", "y", "message"),
        [
            ([1, 2], [1, 2], "≥ 3"),
            ([1, 2, 3], [1, 1, 1], "all the same"),
            ([1, 2, np.inf], [1, 2, 3], "finite"),
        ],
    )
    def test_what_has_no_rank_is_refused(self, kind, x, y, message) -> None:
        with pytest.raises(ValueError, match=message):
            rank_correlation(x, y, kind=kind)
