import numpy as np
import pytest
from scipy import stats

from raystudy.intervals import mean_interval, percentile_coverage, resample_seeds


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
