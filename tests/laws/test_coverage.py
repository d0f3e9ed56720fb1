"""Intervals hold the truth about as often as they say; benchmarks/coverage.py counts it in full."""

import numpy as np
import pytest

from raystudy.laws import fit
from raystudy.laws.losses import named

from .truths import TRUTHS, Truth

NUM_STUDIES = 60


def observed(truth: Truth, study: int, num_seeds: int) -> dict[str, np.ndarray]:
    """One study, with noise on the scale of the loss; seeds shift whole curves."""
    rng = np.random.default_rng([study, num_seeds])
    loss = named(truth.law.loss)
    x = truth.x.reshape(len(truth.x), -1)
    columns = {n: np.repeat(x[:, k], num_seeds) for k, n in enumerate(truth.law.inputs)}
    seed = np.tile(np.arange(num_seeds), len(x))
    shift = rng.normal(0, 0.01, num_seeds)[seed] if num_seeds > 1 else 0.0
    centre = np.repeat(loss.forward(truth.y), num_seeds)
    y = loss.backward(centre + shift + rng.normal(0, 0.01, len(centre)))
    return {**columns, "y": y, "seed": seed}


def held(truth: Truth, num_seeds: int) -> np.ndarray:
    """Whether each study's 90 % intervals hold each parameter and the curve in its middle."""
    middle = truth.x[len(truth.x) // 2][None]
    curve = np.asarray(truth.law.predict(middle, truth.parameters))[0]
    found = []
    for study in range(NUM_STUDIES):
        one = fit(
            observed(truth, study, num_seeds),
            truth.law,
            x=list(truth.law.inputs),
            seed="seed" if num_seeds > 1 else None,
            coverage=0.9,
            num_resamples=200,
            random_seed=study,
        )
        ends = [one.parameter(name)[1:] for name in truth.law.parameters]
        _, low, high = one.predict(middle)
        pairs = [*zip(ends, truth.parameters, strict=True), ((low[0], high[0]), curve)]
        found.append([low <= value <= high for (low, high), value in pairs])
    return np.array(found)


@pytest.mark.parametrize("name", ["Power", "EffectiveData", "ProbitLine"])
def test_intervals_of_independent_runs(name):
    truth = next(t for t in TRUTHS if t.name == name)
    assert 0.82 <= held(truth, 1).mean() <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("truth", TRUTHS, ids=lambda t: t.name)
def test_intervals_of_every_form(truth):
    assert 0.82 <= held(truth, 1).mean() <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("name", ["OffsetPower", "Chinchilla", "TransferGap"])
def test_intervals_of_few_seeds(name):
    """Percentiles of five seeds would hold it about 75 % of the time."""
    truth = next(t for t in TRUTHS if t.name == name)
    assert 0.8 <= held(truth, 5).mean() <= 0.98
