import numpy as np
import pytest

from raystudy.kinds import Law
from raystudy.laws.fit import FitError, FitStatus, extrapolation_error, fit, fit_law
from raystudy.laws.power import OffsetPower
from raystudy.laws.shifted_power import ShiftedPower

law = OffsetPower()


def runs(num_seeds, noise=0.003, sizes=8, offset=0.1, factor=5.0, alpha=0.4, shared=0.0, seed=0):
    """x, y and seed_index of ``num_seeds`` runs a size; ``shared`` scatters whole seeds."""
    rng = np.random.default_rng(seed)
    x = np.repeat(np.geomspace(1e3, 1e6, sizes), num_seeds)
    seed_index = np.tile(np.arange(num_seeds), sizes)
    of_seed = rng.normal(0, shared, num_seeds)[seed_index] if shared else 0
    y = offset + factor * x**-alpha + of_seed + rng.normal(0, noise, len(x))
    return x, np.clip(y, 0, 1), seed_index


def test_a_fit_finds_the_curve_and_calls_itself_fine():
    fit = fit_law(law, *runs(8))
    assert fit.status is FitStatus.FINE
    assert fit.reasons == ()
    assert fit.resampled.shape == (1000, 3)
    value, low, high = fit.parameter("alpha")
    assert low <= value <= high
    assert value == pytest.approx(0.4, abs=0.05)
    y, low, high = fit.predict([1e4, 1e7])
    assert y == pytest.approx([0.1 + 5 * 1e4**-0.4, 0.1 + 5 * 1e7**-0.4], abs=0.01)
    assert ((low <= y) & (y <= high)).all()


def test_resampling_agrees_with_a_bootstrap_written_out():
    x, y, seeds = runs(6, shared=0.01)
    fit = fit_law(law, x, y, seeds)
    rng = np.random.default_rng(5)
    rows = [np.flatnonzero(seeds == s) for s in range(6)]
    drawn = [np.concatenate([rows[s] for s in rng.integers(6, size=6)]) for _ in range(300)]
    slow = np.array([law.solve(x[d], y[None, d], np.ones((1, len(d))))[0] for d in drawn])
    np.testing.assert_allclose(fit.resampled.mean(0), slow.mean(0), rtol=0.02)
    np.testing.assert_allclose(fit.resampled.std(0), slow.std(0), rtol=0.2)


def test_the_band_is_of_seeds_not_of_single_runs():
    """A shared seed effect shifts E and no more, so the band is that of a mean of its 6 draws; a
    bootstrap of single runs would average it away over the sizes."""
    of_seed = np.random.default_rng(3).normal(0, 0.02, 6)
    x, y, seeds = runs(6, noise=0, offset=0.3)
    _, low, high = fit_law(law, x, y + of_seed[seeds], seeds).predict([1e3, 1e6])
    assert high - low == pytest.approx(2 * 1.96 * of_seed.std() / np.sqrt(6), rel=0.1)


def test_the_band_covers_the_curve_about_as_often_as_it_says():
    truth = 0.1 + 5 * 1e5**-0.4
    covers = 0
    for seed in range(100):
        _, low, high = fit_law(law, *runs(10, noise=0.01, seed=seed), num_resamples=200).predict(
            [1e5]
        )
        covers += bool(low[0] <= truth <= high[0])
    assert 80 <= covers <= 100


def test_one_seed_has_no_interval():
    fit = fit_law(law, *runs(1))
    assert fit.status is FitStatus.WEAK
    assert "one seed" in fit.reasons[0]
    assert fit.resampled.shape == (0, 3)
    assert fit.parameter("E")[1:] == (-np.inf, np.inf)
    _, low, high = fit.predict([1e4, 1e5])
    assert np.isneginf(low).all()
    assert np.isposinf(high).all()


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (runs(8, sizes=3), FitStatus.WEAK, "3 sizes"),
        (runs(3), FitStatus.WEAK, "3 seeds covers 75%"),
        (
            runs(8, offset=0.03, noise=0.02, alpha=0.3, seed=1),
            FitStatus.WEAK,
            "interval of E reaches its lower bound 0",
        ),
        (
            runs(8, offset=0.2, factor=1e9, alpha=3.1),
            FitStatus.AT_BOUND,
            "alpha is at its upper bound 2",
        ),
        (
            runs(8, offset=0.3, factor=-1.0, alpha=0.3),
            FitStatus.AT_BOUND,
            "A is at its lower bound 0",
        ),
    ],
)
def test_a_fit_says_what_it_does_not_know(data, status, reason):
    fit = fit_law(law, *data)
    assert fit.status is status
    assert any(reason in r for r in fit.reasons), fit.reasons


def test_resamples_that_lose_sizes_are_left_out_and_told():
    x = np.array([1e3, 1e4, 1e5, 1e6, 1e3, 1e4])
    fit = fit_law(law, x, 0.1 + x**-0.3, [0, 0, 0, 0, 1, 1])
    assert len(fit.resampled) == pytest.approx(750, abs=50)
    assert any("every seed at every size" in r for r in fit.reasons)


@pytest.mark.parametrize(
    ("x", "y", "seeds", "message"),
    [
        ([1, 2, 1, 2], [0.3, 0.2, 0.3, 0.2], [0, 0, 1, 1], "3 distinct x"),
        ([0, 1, 2], [0.3, 0.2, 0.1], [0, 0, 0], "x must be positive"),
        ([1, 2, np.inf], [0.3, 0.2, 0.1], [0, 0, 0], "x must be positive and finite"),
        ([1, 2, 3], [0.3, np.nan, 0.1], [0, 0, 0], "y must be finite"),
        ([1, 2, 3], [0.3, 0.2], [0, 0, 0], "one entry a run"),
        ([1, 2, 3], [30, 20, 10], [0, 0, 0], "percent"),
    ],
)
def test_runs_that_identify_nothing_are_refused(x, y, seeds, message):
    with pytest.raises(FitError, match=message):
        fit_law(law, x, y, seeds)


def test_an_unknown_parameter_is_named():
    with pytest.raises(ValueError, match=r"no parameter 'beta'.*alpha"):
        fit_law(law, *runs(2)).parameter("beta")


def test_a_law_without_bounds_can_be_fitted():
    class Constant(Law):
        parameters = ("c",)

        @property
        def name(self):
            return "c"

        def predict(self, x, parameters):
            return parameters[..., :1] + 0 * x

        def solve(self, x, y, weights):
            return (weights * y).sum(1, keepdims=True) / weights.sum(1, keepdims=True)

    x, y, seeds = runs(6)
    fit = fit_law(Constant(), x, y, seeds)
    assert fit.status is FitStatus.FINE
    assert fit.parameter("c")[0] == pytest.approx(y.mean())


def test_extrapolation_error_is_the_miss_at_the_largest_size_in_points():
    x, y, seeds = runs(4, noise=0.0)
    assert extrapolation_error(law, x, y, seeds) == pytest.approx(0, abs=1e-4)
    worse = np.where(x == x.max(), y + 0.03, y)
    assert extrapolation_error(law, x, worse, seeds) == pytest.approx(3, abs=1e-4)


@pytest.mark.parametrize("sizes", [1, 2, 3])
def test_extrapolation_needs_three_sizes_beside_the_largest(sizes):
    assert extrapolation_error(law, *runs(3, sizes=sizes)) is None


def test_a_parameter_of_small_numbers_is_not_at_its_bound_of_zero() -> None:
    """γ is counted in 1/x, so that of large x it is tiny and still clear of 0."""
    x = np.geomspace(1e7, 4e10, 16)
    rng = np.random.default_rng(0)
    y = 30 * (1 / x + 3e-10) ** 0.2 * np.exp(0.002 * rng.normal(size=16))
    found = fit(None, ShiftedPower(), x=x, y=y)
    gamma, low, high = found.parameter("gamma")
    assert 0 < low < gamma < high < 1e-9
    assert not [reason for reason in found.reasons if "gamma" in reason and "bound" in reason]
