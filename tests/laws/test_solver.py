"""The batched search against SciPy, one problem at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares, lsq_linear, minimize

from raystudy.kinds import Law
from raystudy.laws import BoundedPower, Chinchilla, Loss, OffsetPower, ShiftedPower
from raystudy.laws.arrays import each
from raystudy.laws.basins import explore, refit, set_up
from raystudy.laws.linear import box_least_squares
from raystudy.laws.losses import HUBER, SCALES, named
from raystudy.laws.solver import Problem, minimise, slopes
from raystudy.laws.table import Runs

from .truths import TRUTHS


def runs_of(x, y, weights=None):
    weights = np.ones(len(y)) if weights is None else weights
    return Runs(x, y, weights, np.arange(len(y)), "residuals")


def problem_of(law, x, y, loss: Loss | str = "log", weights=None):
    return set_up(law, runs_of(x, y), named(loss), {}, weights)


def noisy(law, x, parameters, scale=0.02, seed=0):
    rng = np.random.default_rng(seed)
    y = np.asarray(law.predict(x, np.asarray(parameters)))
    return y * np.exp(rng.normal(0, scale, len(x)))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), num_terms=st.integers(1, 3), boxed=st.booleans())
def test_least_squares_in_a_box_agrees_with_scipy(seed, num_terms, boxed):
    rng = np.random.default_rng(seed)
    terms, target = rng.normal(size=(num_terms, 8)), rng.normal(size=8)
    weights = rng.uniform(0.1, 2, 8)
    low, high = np.zeros(num_terms), np.full(num_terms, 0.3 if boxed else np.inf)
    ours = box_least_squares(terms[None], target[None], weights[None], low, high)[0]
    root = np.sqrt(weights)
    oracle = lsq_linear((terms * root).T, target * root, (low, high), tol=1e-14)
    cost = 0.5 * np.sum((root * (ours @ terms - target)) ** 2)
    assert ((ours >= low - 1e-12) & (ours <= high + 1e-12)).all()
    assert cost <= oracle.cost * (1 + 1e-7) + 1e-12


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("scale", ["log", "y"])
@pytest.mark.parametrize("law", [ShiftedPower(), BoundedPower(), OffsetPower()])
def test_no_start_of_scipy_ends_lower(law, scale, seed):
    truth = next(t for t in TRUTHS if type(t.law) is type(law))
    x, y = truth.x, noisy(law, truth.x, truth.parameters, seed=seed)
    problem = problem_of(law, x, y, scale)
    best = explore(problem)[0]
    forward = problem.loss.forward
    is_log = np.array([name in law.logarithmic for name in law.parameters])

    def residuals(z):
        with np.errstate(all="ignore"):
            found = forward(law.predict(x, np.where(is_log, np.exp(z), z)))
            return np.nan_to_num(found - forward(y), nan=1e3, posinf=1e3, neginf=-1e3)

    low, high = (np.where(is_log, -50, b) for b in np.array(law.bounds).T)
    high = np.where(is_log, 50, high)
    rng = np.random.default_rng(seed)
    costs = []
    for _ in range(6):
        start = np.where(is_log, np.log(truth.parameters), truth.parameters)
        start = np.clip(start + rng.normal(0, 0.2, len(start)), low + 1e-6, high - 1e-6)
        tight = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15, "max_nfev": 3000}
        costs.append(least_squares(residuals, start, bounds=(low, high), **tight).cost)
    assert best.objective <= min(costs) * (1 + 1e-7)


def test_huber_ends_as_low_as_lbfgs_restarted():
    """Of the published objective, whose kinks are where quasi-Newton steps stop early."""
    truth = next(t for t in TRUTHS if t.name == "Chinchilla")
    x, y = truth.x, noisy(truth.law, truth.x, truth.parameters, 0.01)
    best = explore(problem_of(truth.law, x, y, "huber"))[0]
    log_x, target = np.log(x).T, np.log(y)

    def objective(z):
        e, a, alpha, b, beta = z
        of_N, of_D = a - alpha * log_x[0], b - beta * log_x[1]
        r = np.logaddexp(np.logaddexp(of_N, of_D), e) - target
        return 1e3 * HUBER.rho(r).sum()

    start = np.array([np.log(1.69), np.log(406.4), 0.34, np.log(410.7), 0.28])
    values = []
    for _ in range(8):
        found = minimize(objective, start, method="L-BFGS-B", options={"ftol": 1e-15})
        start = found.x
        values.append(found.fun)
    assert best.converged
    assert best.objective <= min(values) / 1e3 * (1 + 1e-9)


@pytest.mark.parametrize("truth", TRUTHS, ids=lambda t: t.name)
def test_a_batch_is_its_problems_one_by_one(truth):
    rng = np.random.default_rng(3)
    loss = named(truth.law.loss)
    y = loss.backward(loss.forward(truth.y) + rng.normal(0, 0.01, len(truth.y)))
    weights = rng.integers(1, 3, size=(7, len(y))).astype(float)
    start = truth.parameters[None]
    problem = problem_of(truth.law, truth.x, y, loss, weights)
    together = refit(problem, start)
    for row in range(0, 7, 3):
        alone = refit(problem_of(truth.law, truth.x, y, loss, weights[row : row + 1]), start)
        assert together.objective[row] == pytest.approx(alone.objective[0], rel=1e-9)
        np.testing.assert_allclose(together.parameters[row], alone.parameters[0], rtol=1e-4)


@pytest.mark.parametrize("loss", ["log", "y", "huber", Loss("log", 1e-2, above=0.3)])
def test_a_weight_of_two_is_the_run_twice(loss):
    law, x = ShiftedPower(), np.geomspace(1e3, 1e6, 9)
    y = noisy(law, x, [6.0, 1e-5, 0.3])
    counts = np.array([1, 2, 1, 3, 1, 1, 2, 1, 1])
    twice = np.repeat(np.arange(9), counts)
    weighted = explore(problem_of(law, x, y, loss, counts[None].astype(float)))[0]
    repeated = explore(problem_of(law, x[twice], y[twice], loss))[0]
    assert weighted.objective == pytest.approx(repeated.objective, rel=1e-9)
    np.testing.assert_allclose(weighted.parameters, repeated.parameters, rtol=1e-4, atol=1e-12)


def test_runs_above_that_count_less_leave_the_curve_below():
    law, x = OffsetPower(), np.geomspace(1e3, 1e6, 30)
    y = noisy(law, x, [0.1, 5.0, 0.3], 0.1)
    curves = [
        law.predict(x, explore(problem_of(law, x, y, Loss("log", above=above)))[0].parameters)
        for above in (0.1, 1.0, 10.0)
    ]
    low, fair, high = ((curve > y).mean() for curve in curves)
    assert low < fair < high


@pytest.mark.parametrize("loss", [Loss(), HUBER, Loss("y", 0.01), Loss("log", 0.02, above=0.5)])
def test_psi_is_the_slope_of_rho(loss):
    r = np.linspace(-0.1, 0.1, 101) + 1e-5
    step = 1e-8
    expected = (loss.rho(r + step) - loss.rho(r - step)) / (2 * step)
    np.testing.assert_allclose(loss.slopes(r, np.ones(1))[0], expected, atol=1e-7)


@pytest.mark.parametrize("scale", SCALES)
def test_scales_have_their_inverse_and_slope(scale):
    loss, y = Loss(scale), np.linspace(0.05, 0.95, 20)
    np.testing.assert_allclose(loss.backward(loss.forward(y)), y)
    rise = (loss.forward(y + 1e-7) - loss.forward(y - 1e-7)) / 2e-7
    np.testing.assert_allclose(loss.slope(y), rise, rtol=1e-6)


def test_parameters_stay_within_bounds_and_rest_on_them():
    law, x = OffsetPower(alpha_max=0.5), np.geomspace(1e3, 1e6, 20)
    y = noisy(OffsetPower(), x, [0.2, 300.0, 0.9])
    best = explore(problem_of(law, x, y))[0]
    assert best.parameters[2] == 0.5
    assert best.converged


def test_a_start_without_a_value_is_no_nan():
    law, x = BoundedPower(), np.geomspace(1e3, 1e6, 12)
    y = noisy(law, x, [0.1, 60.0, 0.5, 0.6, 0.9])
    problem = problem_of(law, x, y)
    starts = np.array([[0.9, 60.0, 0.5, 0.6, 0.2], [0.1, 60.0, 0.5, 0.6, 0.9]])  # E above E0
    found = minimise(problem, starts, np.zeros(2, dtype=np.int64))
    assert np.isposinf(found.objective[0])
    assert not found.converged[0]
    assert np.isfinite(found.parameters).all()
    assert found.converged[1]


def test_a_law_of_predict_alone_is_fitted_by_differences():
    class Line(Law):
        """y = a·x^b without slopes."""

        parameters = ("a", "b")
        logarithmic = ("a",)

        @property
        def name(self):
            return "a·x^b"

        def predict(self, x, parameters):
            a, b = each(parameters)
            return a * np.asarray(x) ** b

        def starts(self, x, y):
            return np.array([[1.0, 0.0]])

    x = np.geomspace(1, 100, 9)
    found = explore(problem_of(Line(), x, 3 * x**-0.7))[0]
    assert found.parameters == pytest.approx([3, -0.7])


def test_fixed_parameters_keep_their_value():
    truth = next(t for t in TRUTHS if t.name == "Chinchilla")
    law = Chinchilla()
    y = noisy(law, truth.x, truth.parameters)
    for loss in ("log", "y"):
        problem = set_up(law, runs_of(truth.x, y), named(loss), {"E": (1.5, 1.5)})
        best = explore(problem)[0]
        assert best.parameters[0] == 1.5
        free = explore(problem_of(law, truth.x, y, loss))[0]
        assert free.objective < best.objective


def test_slopes_by_differences_are_slopes():
    truth = TRUTHS[3]

    class Bare(Law):
        """Hides the slopes of another law."""

        parameters = truth.law.parameters

        @property
        def name(self):
            return "bare"

        def predict(self, x, parameters):
            return truth.law.predict(x, parameters)

    given = np.asarray(truth.law.jacobian(truth.x, truth.parameters[None]))
    taken = slopes(Bare(), truth.x, truth.parameters[None])
    np.testing.assert_allclose(taken, given, rtol=1e-5, atol=1e-9)


def test_problems_are_values():
    problem = problem_of(OffsetPower(), np.array([1.0, 2.0]), np.array([0.2, 0.1]))
    assert isinstance(problem, Problem)
    with pytest.raises(AttributeError):
        problem.y = problem.y  # type: ignore[misc]
