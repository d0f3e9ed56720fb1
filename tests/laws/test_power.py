import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from raystudy.laws.power import OffsetPower

law = OffsetPower()
floats = st.floats


def loss(parameters, x, y, weights):
    return (weights * (y - law.predict(x, parameters)) ** 2).sum(-1)


def best_of_many_starts(x, y, weights):
    """The least loss of scipy's bounded least squares from a grid of starts."""
    root, ratio = np.sqrt(weights), x / x.min()
    bounds = [0, 0, 1e-3], [1, np.inf, 2.0]
    found = [
        least_squares(
            lambda p: root * (p[0] + p[1] * ratio ** -p[2] - y),
            (offset, max(y.max() - offset, 0.01), alpha),
            bounds=bounds,
            xtol=1e-15,
            ftol=1e-15,
            gtol=1e-15,
        )
        for offset in (0.02, 0.5)
        for alpha in (0.05, 0.3, 1.0, 1.8)
    ]
    return min(2 * fit.cost for fit in found)


@settings(max_examples=150, deadline=None)
@given(
    offset=floats(0, 0.7),
    excess=floats(0.05, 0.3),
    alpha=floats(0.05, 1.9),
    start=floats(1, 1e6),
    decades=floats(1, 4),
    num_sizes=st.integers(4, 9),
)
def test_noiseless_parameters_are_recovered(offset, excess, alpha, start, decades, num_sizes):
    x = start * np.logspace(0, decades, num_sizes)
    factor = excess * start**alpha
    y = offset + factor * x**-alpha
    found = law.solve(x, y[None], np.ones((1, num_sizes)))[0]
    assert loss(found, x, y, 1.0) < 1e-17
    assert found == pytest.approx([offset, factor, alpha], rel=1e-3, abs=1e-4)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), noise=st.sampled_from([1e-4, 1e-2, 0.1]))
def test_no_start_of_scipy_ends_lower(seed, noise):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.choice(np.geomspace(100, 1e6, 40), size=7, replace=False))
    x = np.repeat(x, 2)
    curve = rng.uniform(0, 0.4) + rng.uniform(0, 0.5) * (x / x[0]) ** -rng.uniform(0.02, 2.5)
    y = np.clip(curve + rng.normal(0, noise, len(x)), 0, 1)
    weights = rng.integers(0, 4, size=len(x)) + 0.5
    ours = loss(law.solve(x, y[None], weights[None])[0], x, y, weights)
    assert ours <= best_of_many_starts(x, y, weights) * (1 + 1e-8)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_parameters_keep_their_bounds_whatever_the_errors(seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(1, 1e5, 6)
    found = law.solve(x, rng.uniform(size=(20, 6)), rng.integers(0, 3, size=(20, 6)) + 1e-3)
    low, high = np.transpose(law.bounds)
    assert ((found >= low) & (found <= high * (1 + 1e-12))).all()


def test_each_row_is_fitted_alone():
    rng = np.random.default_rng(1)
    x = np.geomspace(10, 1e4, 6)
    y, weights = rng.uniform(size=(5, 6)), rng.uniform(0.1, 2, size=(5, 6))
    alone = [law.solve(x, y[i : i + 1], weights[i : i + 1])[0] for i in range(5)]
    np.testing.assert_allclose(law.solve(x, y, weights), alone, rtol=1e-10)


def test_a_weight_of_two_is_the_run_twice():
    rng = np.random.default_rng(2)
    x = np.geomspace(10, 1e4, 6)
    y = np.clip(0.2 + 2 * x**-0.4 + rng.normal(0, 0.02, 6), 0, 1)
    weights = np.array([1.0, 2, 0, 1, 3, 1])
    twice = np.repeat(np.arange(6), weights.astype(int))
    repeated = law.solve(x[twice], y[None, twice], np.ones((1, len(twice))))
    np.testing.assert_allclose(law.solve(x, y[None], weights[None]), repeated, rtol=1e-6)


def test_errors_that_rise_leave_a_constant():
    x = np.geomspace(10, 1e4, 5)
    found = law.solve(x, np.linspace(0.2, 0.4, 5)[None], np.ones((1, 5)))[0]
    assert found[:2] == pytest.approx([0.3, 0])


def test_predict_broadcasts_over_parameters():
    parameters = np.array([[[0.1, 2.0, 0.5], [0.0, 1.0, 1.0]]])
    expected = [[[0.1 + 2 / 2, 0.1 + 2 / 10], [1 / 4, 1 / 100]]]
    np.testing.assert_allclose(law.predict(np.array([4.0, 100.0]), parameters), expected)
    assert law.predict(np.array([4.0]), np.empty((0, 3))).shape == (0, 1)


@pytest.mark.parametrize(
    ("x", "y", "weights", "message"),
    [
        ([1, 2], [[0.1, 0.2]], [[1]], "x .N,., y and weights"),
        ([0, 2], [[0.1, 0.2]], [[1, 1]], "positive"),
        ([1, 2], [[10, 20]], [[1, 1]], "percent"),
        ([1, 2], [[0.1, 0.2]], [[0, 0]], "all zero"),
    ],
)
def test_bad_input_is_refused_by_name(x, y, weights, message):
    with pytest.raises(ValueError, match=message):
        law.solve(np.array(x), np.array(y), np.array(weights))
