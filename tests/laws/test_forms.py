import numpy as np
import pytest

from raystudy.laws import (
    Chinchilla,
    DataMixing,
    NoisySize,
    ProbitLine,
    QualityQuantity,
    RepeatedData,
)
from raystudy.laws.basins import explore, set_up
from raystudy.laws.fit import FitError, fit
from raystudy.laws.losses import Loss, named

from ..contracts.variants import variants
from .truths import TRUTHS, Truth, grid

every = pytest.mark.parametrize("truth", TRUTHS, ids=lambda t: t.name)


def test_every_form_is_tried_here():
    assert {t.name for t in TRUTHS} == {cls.__name__ for cls in variants("laws")}


@every
def test_slopes_are_those_of_differences(truth: Truth):
    law, x, p = truth.law, truth.x, truth.parameters
    found = np.asarray(law.jacobian(x, p))
    assert found.shape == (len(p), len(x))
    for i in range(len(p)):
        step = np.zeros_like(p)
        step[i] = 1e-6 * abs(p[i])
        rise = np.asarray(law.predict(x, p + step)) - np.asarray(law.predict(x, p - step))
        expected = rise / (2 * step[i])
        np.testing.assert_allclose(found[i], expected, rtol=1e-5, atol=1e-7 * abs(expected).max())


@every
def test_parameters_may_come_in_any_shape(truth: Truth):
    law, x, p = truth.law, truth.x, truth.parameters
    many = np.tile(p, (2, 3, 1)) * np.linspace(0.95, 1.05, 6).reshape(2, 3, 1)
    y = np.asarray(law.predict(x, many))
    assert y.shape == (2, 3, len(x))
    np.testing.assert_allclose(y[1, 2], law.predict(x, many[1, 2]))
    slopes = np.asarray(law.jacobian(x, many))
    np.testing.assert_allclose(slopes[1, 0], np.asarray(law.jacobian(x, many[1, 0])))
    assert np.asarray(law.predict(x, np.empty((0, len(p))))).shape == (0, len(x))


@every
@pytest.mark.parametrize("loss", ["log", "y", "huber"])
def test_noiseless_runs_give_their_parameters_back(truth: Truth, loss):
    if truth.name == "ProbitLine":
        loss = "probit"
    found = fit((None), truth.law, x=truth.x, y=truth.y, loss=loss, num_resamples=0)
    np.testing.assert_allclose(found.parameters, truth.parameters, rtol=2e-4)


@every
def test_what_is_linear_is_linear(truth: Truth):
    """y is what it is without them plus their slopes times them, as variable projection needs."""
    law, p = truth.law, truth.parameters
    at = [law.parameters.index(name) for name in law.linear]
    if not at:
        return
    slopes = np.asarray(law.jacobian(truth.x, p))
    without = p.copy()
    without[at] = 0
    with np.errstate(divide="ignore"):
        rest = np.asarray(law.predict(truth.x, without))
    np.testing.assert_allclose(p[at] @ slopes[at] + rest, truth.y, rtol=1e-10)


@every
def test_starts_lie_within_bounds_and_repeat(truth: Truth):
    law = truth.law
    starts = np.asarray(law.starts(truth.x, truth.y))
    again = np.asarray(law.starts(truth.x, truth.y))
    np.testing.assert_array_equal(starts, again)
    low, high = np.array(law.bounds).T
    assert starts.shape[1] == len(law.parameters)
    assert np.all((starts >= low) & (starts <= high) | np.isnan(starts))
    unknown = {law.parameters[i] for i in np.flatnonzero(np.isnan(starts).any(0))}
    assert unknown <= set(law.linear)


@every
def test_noise_is_fitted_no_worse_than_the_truth(truth: Truth):
    rng = np.random.default_rng(0)
    loss = named(truth.law.loss)
    y = loss.backward(loss.forward(truth.y) + rng.normal(0, 0.01, len(truth.y)))
    found = fit(None, truth.law, x=truth.x, y=y, num_resamples=0)
    curve = loss.forward(truth.y) - loss.forward(y)
    assert found.objective <= loss.rho(curve).sum() * (1 + 1e-12)
    assert found.basins[0].converged


@pytest.mark.parametrize(
    ("law", "x", "message"),
    [
        (RepeatedData(), [[1e6, 1e8, 2e8]] * 9, "must not exceed D"),
        (Chinchilla(), [[0.0, 1e8]] * 9, "N must be positive"),
        (NoisySize(), [[10.0, 1.0]] * 9, "r must be a share"),
        (QualityQuantity(), [[2e6, 1e3]] * 9, "1000 times U"),
        (DataMixing(num_domains=2), grid([0.3, 0.6], [1.2]), "shares in"),
        (DataMixing(num_domains=2), [[0.25, 0.75], [0.5, 0.5], [1, 0], [0, 1]], "leave one domain"),
        (ProbitLine(), [50.0, 60.0, 70.0], "not percent"),
    ],
)
def test_runs_outside_the_domain_are_refused(law, x, message):
    with pytest.raises(FitError, match=message):
        fit(None, law, x=np.array(x), y=np.full(len(x), 0.5), num_resamples=0)


def test_repeats_that_never_come_leave_chinchilla():
    law, x = RepeatedData(), np.array([[1e6, 1e10, 1e10]])
    p = np.array([1.8, 500.0, 0.35, 1500.0, 0.35, 15.0, 5.0])
    plain = Chinchilla().predict(x[:, :2], p[:5])
    np.testing.assert_allclose(law.predict(x, p), plain)


def test_the_best_basin_is_that_of_any_loss():
    truth = TRUTHS[1]
    runs = fit(None, truth.law, x=truth.x, y=truth.y * 1.01, num_resamples=0).runs
    assert runs is not None
    basins = explore(set_up(truth.law, runs, Loss("log1p"), {}))
    assert basins[0].objective < 1e-20
