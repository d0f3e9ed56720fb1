import numpy as np
import pytest
from scipy import stats

from raystudy.intervals import (
    bootstrap_interval,
    mean_interval,
    percentile_coverage,
    resample_seeds,
    seeds_and_examples_interval,
)


@pytest.mark.parametrize("values", [[1.0, 2.0, 4.0], [0.2, 0.1], [5.0, 5.5, 7.0, 1.0, -2.0]])
def test_mean_interval_is_students(values):
    expected = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    mean, *interval = mean_interval(values)
    assert mean == pytest.approx(np.mean(values))
    assert interval == pytest.approx(expected)


def test_one_seed_has_no_interval():
    assert mean_interval([0.3]) == (0.3, -np.inf, np.inf)


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [[1.0, 2.0]]])
def test_values_that_have_no_mean_are_refused(values):
    with pytest.raises(ValueError, match="one finite number a seed"):
        mean_interval(values)


@pytest.mark.parametrize(("num_seeds", "num_distinct"), [(1, 1), (2, 3), (3, 10), (5, 126)])
def test_resamples_are_multinomial_counts_each_once(num_seeds, num_distinct):
    counts, frequency = resample_seeds(num_seeds, 20_000, seed=0)
    assert len(np.unique(counts, axis=0)) == len(counts) == num_distinct
    assert frequency.sum() == 20_000
    assert (counts.sum(1) == num_seeds).all()
    share = stats.multinomial.pmf(counts, num_seeds, np.full(num_seeds, 1 / num_seeds))
    assert np.abs(frequency / 20_000 - share).max() < 0.02


def test_same_seed_draws_the_same_resamples():
    for one, other in zip(resample_seeds(4, 100, 7), resample_seeds(4, 100, 7), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(resample_seeds(4, 100, 7)[1], resample_seeds(4, 100, 8)[1])


@pytest.mark.parametrize("num_seeds", [2, 3, 4])
def test_percentile_coverage_is_what_few_seeds_cover(num_seeds):
    rng = np.random.default_rng(0)
    counts, frequency = resample_seeds(num_seeds, 2_000, seed=0)
    covers = 0
    for values in rng.normal(size=(500, num_seeds)):
        low, high = np.percentile(np.repeat(counts @ values / num_seeds, frequency), [2.5, 97.5])
        covers += low <= 0 <= high
    assert covers / 500 <= percentile_coverage(num_seeds) + 0.04


class TestExamples:
    def test_of_a_mean_is_its_standard_error(self):
        values = np.random.default_rng(0).exponential(size=400)
        value, low, high = seeds_and_examples_interval(values[None])
        half = 1.96 * values.std() / 20
        assert value == pytest.approx(values.mean())
        assert (low, high) == pytest.approx((value - half, value + half), abs=0.02)

    def test_any_statistic_is_resampled_as_a_mean_is(self):
        values = np.random.default_rng(0).exponential(size=(3, 200))
        statistics = [lambda rows, row=row: float(row[rows].mean()) for row in values]
        expected = seeds_and_examples_interval(values, seed=4)
        assert bootstrap_interval(statistics, 200, seed=4) == pytest.approx(expected, abs=1e-12)

    def test_seeds_and_examples_both_scatter(self):
        """The interval of S × N values covers a truth that neither alone would."""
        rng = np.random.default_rng(0)
        covers = dict.fromkeys(("both", "examples"), 0)
        for trial in range(150):
            values = 0.3 + rng.normal(0, 0.1, (8, 1)) + rng.normal(0, 1.0, 100)
            values = values + rng.normal(0, 0.5, (8, 100))
            _, low, high = seeds_and_examples_interval(values, num_resamples=200, seed=trial)
            covers["both"] += low <= 0.3 <= high
            low, high = _normal_interval(values.ravel())
            covers["examples"] += low <= 0.3 <= high
        assert covers["both"] / 150 > 0.88
        assert covers["examples"] / 150 < 0.75

    def test_a_centred_interval_undoes_what_resampling_adds(self):
        """|mean| grows when resampled: percentiles lie above it, and mirrored ones below."""
        values = np.random.default_rng(3).normal(0.0, 1, 100)
        values -= values.mean() - 0.02

        def statistic(rows):
            return abs(float(values[rows].mean()))

        value, low, high = bootstrap_interval([statistic], 100)
        mirrored = bootstrap_interval([statistic], 100, centred=True)
        assert value == pytest.approx(0.02)
        assert (low + high) / 2 > value
        assert mirrored[1:] == pytest.approx((2 * value - high, 2 * value - low))

    def test_resamples_without_a_value_are_left_out(self):
        statistic = lambda rows: float("nan") if rows[0] % 2 else float(np.mean(rows))  # noqa: E731
        _, low, high = bootstrap_interval([statistic], 50, num_resamples=100)
        assert 0 < low < high < 50

    def test_same_seed_same_interval(self):
        values = np.random.default_rng(0).normal(size=(2, 30))
        assert seeds_and_examples_interval(values) == seeds_and_examples_interval(values)
        assert seeds_and_examples_interval(values) != seeds_and_examples_interval(values, seed=1)

    @pytest.mark.parametrize("values", [[], [1.0, 2.0], [[1.0, float("nan")]]])
    def test_values_that_have_no_mean_are_refused(self, values):
        with pytest.raises(ValueError, match="finite values"):
            seeds_and_examples_interval(values)


def _normal_interval(values):
    half = 1.96 * values.std() / len(values) ** 0.5
    return values.mean() - half, values.mean() + half
