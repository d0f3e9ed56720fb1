import numpy as np
import pytest

from raystudy.laws import Chinchilla, FitError, NoisySize, OffsetPower, Power, fit
from raystudy.laws.derived import compute_optimal, samples_needed, worth_of_cleaning
from raystudy.laws.transferred import Reading, saturating_size, transferred

from .truths import TRUTHS

SIZES = np.geomspace(1e3, 1e7, 13)
SCRATCH = np.array([1.0, 40.0, 0.4])
LOSSES = OffsetPower(E_max=10.0)


def of_scratch(noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    y = np.asarray(LOSSES.predict(SIZES, SCRATCH)) * np.exp(rng.normal(0, noise, len(SIZES)))
    return fit(None, LOSSES, x=SIZES, y=y, loss="log", coverage=0.9, num_resamples=300)


def loss_at(size):
    return float(LOSSES.predict(np.array([size]), SCRATCH)[0])


@pytest.mark.parametrize("worth", [5e3, 1e5, 3e6])
def test_effective_data_is_where_the_scratch_curve_has_the_loss(worth):
    found = transferred(of_scratch(), 1e3, [loss_at(worth)] * 3)
    assert found.reading is Reading.MEASURED
    assert found.D_E[0] == pytest.approx(worth, rel=1e-3)
    assert found.D_T[0] == pytest.approx(worth - 1e3, rel=2e-3)
    assert not found.ossified


def test_effective_data_has_no_bias_and_an_interval_that_holds_it():
    worth, found = 1e5, []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        tuned = loss_at(worth) * np.exp(rng.normal(0, 0.01, 5))
        found.append(transferred(of_scratch(0.01, seed), 1e3, tuned, random_seed=seed))
    ratio = np.log([f.D_E[0] / worth for f in found])
    assert abs(ratio.mean()) < 3 * ratio.std() / np.sqrt(len(ratio))
    held = np.mean([f.D_E[1] <= worth <= f.D_E[2] for f in found])
    assert 0.8 <= held <= 1


def test_beyond_the_measured_sizes_there_are_bounds():
    above = transferred(of_scratch(), 1e3, [0.9 * loss_at(1e7)])
    assert above.reading is Reading.AT_LEAST
    assert above.D_E[0] == SIZES.max()
    below = transferred(of_scratch(), 1e3, [1.1 * loss_at(1e3)])
    assert below.reading is Reading.AT_MOST
    assert below.D_E[0] == SIZES.min()


def test_low_data_is_a_tenth_of_what_saturates():
    curve = of_scratch()
    size = (0.99 / 0.01 * 40.0) ** (1 / 0.4)  # 1/0.99 − 1 = 40·D^−0.4
    assert saturating_size(curve) == pytest.approx(size, rel=1e-2)
    few, many = 0.05 * size, 0.2 * size
    assert transferred(curve, few, [loss_at(few)]).low_data is True
    assert transferred(curve, many, [loss_at(many)]).low_data is False


def test_a_curve_without_end_has_no_low_data():
    y = 40 * SIZES**-0.3
    curve = fit(None, Power(), x=SIZES, y=y, num_resamples=0)
    assert transferred(curve, 1e3, [y[4]]).low_data is None


def test_harm_is_ossification():
    found = transferred(of_scratch(0.002), 1e6, np.array([1.0, 1.001, 0.999]) * loss_at(1e5))
    assert found.ossified
    assert found.D_T[2] < 0


def test_samples_for_a_target():
    curve = of_scratch(0.002)
    inside = samples_needed(curve, loss_at(1e5))
    assert inside.samples[0] == pytest.approx(1e5, rel=0.1)
    assert not inside.extrapolated
    assert samples_needed(curve, loss_at(1e8)).extrapolated
    assert np.isposinf(samples_needed(curve, 0.5).samples[0])


def test_compute_is_spent_where_no_other_split_is_better():
    truth = next(t for t in TRUTHS if t.name == "Chinchilla")
    rng = np.random.default_rng(0)
    y = truth.y * np.exp(rng.normal(0, 0.003, len(truth.y)))
    found = fit(None, Chinchilla(), x=truth.x, y=y, num_resamples=200)
    budget = 5.76e23
    best = compute_optimal(found, budget)
    sizes = best.N[0] * np.geomspace(0.5, 2, 101)
    splits = np.stack([sizes, budget / 6 / sizes], axis=1)
    losses = np.asarray(found.law.predict(splits, found.parameters))
    assert losses.argmin() == 50
    assert best.loss[0] == pytest.approx(losses.min())
    assert best.N[1] < best.N[0] < best.N[2]
    exact = (0.34 * 406.4 / (0.28 * 410.7)) ** (1 / 0.62) * (budget / 6) ** (0.28 / 0.62)
    assert best.N[1] < exact < best.N[2]


def test_cleaning_is_worth_what_the_law_says():
    truth = next(t for t in TRUTHS if t.name == "NoisySize")
    rng = np.random.default_rng(0)
    y = truth.y * np.exp(rng.normal(0, 0.01, len(truth.y)))
    found = fit(None, NoisySize(), x=truth.x, y=y, num_resamples=300)
    value, low, high = worth_of_cleaning(found, 0.4)
    assert low < 0.6**-2 < high
    assert value == pytest.approx(0.6**-2, rel=0.3)


def test_other_laws_are_refused():
    curve = of_scratch()
    with pytest.raises(FitError, match="Chinchilla"):
        compute_optimal(curve, 1e20)
    with pytest.raises(FitError, match="NoisySize"):
        worth_of_cleaning(curve, 0.2)
    with pytest.raises(FitError, match="positive"):
        transferred(curve, 0, [1.0])
