"""The group lasso against a closed form, the optimality conditions, and solvers of others."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from raystudy.adapt import group_lasso
from raystudy.adapt.adam_head import train_head
from raystudy.adapt.centred_logistic import logistic_heads
from raystudy.adapt.group_lasso import Solution, objective, path, strongest

C = 3


def problem(
    num: int = 60, width: int = 200, seed: int = 0, correlated: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Classes of unequal size that the first five features tell apart, not without error."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(C), rng.choice(C, num - C, p=[0.5, 0.3, 0.2])])
    x = rng.normal(size=(num, width)) + 0.5  # not centred: the bias has something to do
    if correlated:
        x += 2 * rng.normal(size=(num, 1))
    x[:, :5] += rng.normal(size=(C, 5))[labels]
    return x, labels


def dense(solution: Solution, width: int) -> NDArray[np.float64]:
    weights = np.zeros((width, len(solution.bias_C)))
    weights[solution.active_A] = solution.weights_AxC
    return weights


def by_loops(
    x: NDArray[np.float64],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    bias: NDArray[np.float64],
    strength: float,
) -> float:
    loss = 0.0
    for row, label in zip(x, labels, strict=True):
        logits = [sum(a * b for a, b in zip(row, w, strict=True)) for w in weights.T] + bias
        loss -= logits[label] - np.log(sum(np.exp(z) for z in logits))
    penalty = sum(float(np.sqrt(sum(v * v for v in row))) for row in weights)
    return loss / len(x) + strength * penalty


def minimum_by_smoothing(
    x: NDArray[np.float64], labels: NDArray[np.int64], strength: float
) -> float:
    """The objective at the end of quasi-Newton steps on √(‖Wᵢ‖² + ε²) with ever smaller ε."""
    N, D = x.shape
    hot = np.eye(C)[labels]

    def smooth(flat: NDArray[np.float64], epsilon: float) -> tuple[float, NDArray[np.float64]]:
        weights, bias = flat[: D * C].reshape(D, C), flat[D * C :]
        logits = x @ weights + bias
        top = logits.max(1, keepdims=True)
        total = np.exp(logits - top).sum(1, keepdims=True)
        norms = np.sqrt((weights**2).sum(1, keepdims=True) + epsilon**2)
        value = (top + np.log(total)).mean() - (logits * hot).sum() / N + strength * norms.sum()
        residual = (np.exp(logits - top) / total - hot) / N
        gradient = x.T @ residual + strength * weights / norms
        return float(value), np.concatenate([gradient.ravel(), residual.sum(0)])

    flat = np.zeros(D * C + C)
    for epsilon in 10.0 ** -np.arange(1, 8):
        options = {"maxiter": 5000, "maxfun": 10000, "ftol": 1e-15, "gtol": 1e-9}
        flat = minimize(smooth, flat, (epsilon,), method="L-BFGS-B", jac=True, options=options).x
    return smooth(flat, 0.0)[0] if flat[: D * C].all() else smooth(flat, 1e-12)[0]


def test_the_penalty_is_a_sum_of_row_norms() -> None:
    x, labels = problem(8, 5)
    rng = np.random.default_rng(1)
    weights, bias = rng.normal(size=(5, C)), rng.normal(size=C)
    found = objective(x, labels, weights, bias, 0.7)
    assert found == pytest.approx(by_loops(x, labels, weights, bias, 0.7), rel=1e-12)
    penalty = found - objective(x, labels, weights, bias, 0.0)
    assert penalty > 0.7 * np.linalg.norm(weights) * 1.1  # it is not the Frobenius norm


def test_all_weights_are_zero_from_the_strongest_on() -> None:
    x, labels = problem()
    share = np.bincount(labels) / len(labels)
    gradients = [
        np.linalg.norm(
            sum(row[i] * (share - np.eye(C)[k]) for row, k in zip(x, labels, strict=True))
        )
        for i in range(x.shape[1])
    ]
    limit = strongest(x, labels, C)
    assert limit == pytest.approx(max(gradients) / len(x), rel=1e-9)
    at, above, below = path(x, labels, C, [limit, 2 * limit, 0.99 * limit], tolerance=1e-9)
    for zero in (at, above):
        assert not len(zero.active_A)
        np.testing.assert_allclose(np.exp(zero.bias_C) / np.exp(zero.bias_C).sum(), share)
        assert zero.objective == pytest.approx(-(share * np.log(share)).sum())
        assert (zero.scores_D <= 0).all()
        assert zero.scores_D.argmax() == np.argmax(gradients)
    assert len(below.active_A)


@pytest.mark.parametrize("correlated", [False, True])
@pytest.mark.parametrize("share", [0.5, 0.1, 0.02])
def test_the_objective_is_the_minimum(share: float, correlated: bool) -> None:
    x, labels = problem(width=80, correlated=correlated)
    strength = share * strongest(x, labels, C)
    solution = path(x, labels, C, [strength], tolerance=1e-6)[0]
    minimum = minimum_by_smoothing(x, labels, strength)
    assert solution.objective <= minimum * (1 + 2e-6)
    assert solution.objective - solution.gap <= minimum
    whole = objective(x, labels, dense(solution, 80), solution.bias_C, strength)
    assert solution.objective == pytest.approx(whole, rel=1e-9)


ADELIE = {  # the objective at 0.5, 0.1 and 0.02 of the strongest, and how many weights are not zero
    False: [(0.98138103307, 1), (0.62855796955, 11), (0.26305411078, 31)],
    True: [(0.98539903066, 2), (0.54820227078, 8), (0.20266020400, 20)],
}
"""Of adelie 1.1.52 (Yang and Hastie, arXiv 2405.08631), which cannot be installed beside NumPy 2:
``grpnet(x, glm.multinomial(y), lmda_path=λ / C√C, tol=1e-15, irls_tol=1e-11)``."""


@pytest.mark.parametrize("correlated", [False, True])
def test_the_objective_is_that_of_adelie(correlated: bool) -> None:
    x, labels = problem(width=80, correlated=correlated)
    limit = strongest(x, labels, C)
    found = path(x, labels, C, [0.5 * limit, 0.1 * limit, 0.02 * limit], tolerance=1e-8)
    for solution, (theirs, num_active) in zip(found, ADELIE[correlated], strict=True):
        assert solution.objective == pytest.approx(theirs, rel=5e-7)
        assert solution.objective <= theirs
        assert len(solution.active_A) == num_active


def test_the_conditions_of_optimality_hold() -> None:
    x, labels = problem()
    strength = 0.1 * strongest(x, labels, C)
    solution = path(x, labels, C, [strength], tolerance=1e-9)[0]
    logits = x @ dense(solution, 200) + solution.bias_C
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    gradient = x.T @ (shares - np.eye(C)[labels]) / len(x)
    norms = np.linalg.norm(solution.weights_AxC, axis=1, keepdims=True)
    direction = -strength * solution.weights_AxC / norms
    np.testing.assert_allclose(gradient[solution.active_A], direction, atol=2e-3 * strength)
    others = np.delete(np.linalg.norm(gradient, axis=1), solution.active_A)
    assert others.max() <= strength * (1 + 2e-3)
    assert 0 < len(solution.active_A) < 60
    # Scores: weights first, and then how nearly a feature would enter.
    np.testing.assert_allclose(solution.scores_D[solution.active_A], norms[:, 0])
    outside = np.delete(solution.scores_D, solution.active_A)
    np.testing.assert_allclose(outside, np.minimum(others - strength, 0), atol=1e-9)


def test_single_precision_ends_as_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """Screening is safe, too: with features by the dozen, the same minimum is found."""
    monkeypatch.setattr(group_lasso, "FIRST_SIZE", 12)
    x, labels = problem(width=1000)
    strengths = [s * strongest(x, labels, C) for s in (0.3, 0.03)]
    exact = path(x, labels, C, strengths, tolerance=1e-6)
    for ours, other in zip(path(x.astype(np.float32), labels, C, strengths), exact, strict=True):
        assert other.objective * (1 - 1e-5) <= ours.objective <= other.objective * (1 + 1e-3)
        assert ours.gap <= 1e-3 * ours.objective


def test_a_strength_does_not_depend_on_its_path() -> None:
    x, labels = problem()
    strengths = [s * strongest(x, labels, C) for s in (0.05, 0.8, 0.2)]
    together = path(x, labels, C, strengths, tolerance=1e-7)
    assert [s.strength for s in together] == strengths
    for one in together:
        alone = path(x, labels, C, [one.strength], tolerance=1e-7)[0]
        assert alone.objective == pytest.approx(one.objective, rel=2e-7)
        np.testing.assert_allclose(dense(alone, 200), dense(one, 200), atol=2e-2)
    again = path(x, labels, C, strengths, tolerance=1e-7)
    assert all(np.array_equal(a.scores_D, b.scores_D) for a, b in zip(together, again, strict=True))


def test_copies_of_a_feature_share_its_weight() -> None:
    """Layers repeat each other: the last maps' means are the features before the classifier."""
    x, labels = problem(width=40)
    doubled = np.concatenate([x, x], 1)
    strength = 0.1 * strongest(x, labels, C)
    one, two = (path(z, labels, C, [strength], tolerance=1e-8)[0] for z in (x, doubled))
    assert two.objective == pytest.approx(one.objective, rel=1e-6)
    np.testing.assert_allclose(dense(two, 80)[:40] + dense(two, 80)[40:], dense(one, 40), atol=1e-3)
    np.testing.assert_allclose(two.scores_D[:40], two.scores_D[40:], atol=1e-9)


def test_it_is_below_adam() -> None:
    x, labels = problem(width=300)
    for strength in (0.3 * strongest(x, labels, C), 1e-3):
        solution = path(x.astype(np.float32), labels, C, [strength])[0]
        trained = train_head(
            x.astype(np.float32),
            labels,
            C,
            learning_rate=0.1,
            num_steps=150,
            seed=0,
            strength=strength,
        )
        adam = objective(x, labels, *trained, strength)
        assert solution.objective <= adam
        assert adam < objective(x, labels, np.zeros((300, C)), np.zeros(C), strength)  # it learns
        assert (trained[0] != 0).all()  # and leaves no weight at zero


def test_adam_is_a_function_of_its_seed() -> None:
    x, labels = problem()
    fits = [
        train_head(x, labels, C, learning_rate=0.1, num_steps=20, seed=seed)[0]
        for seed in (3, 3, 4)
    ]
    assert np.array_equal(fits[0], fits[1])
    assert not np.allclose(fits[0], fits[2])


def test_steps_that_do_not_do_are_an_error() -> None:
    x, labels = problem()
    strength = 0.5 * strongest(x, labels, C)
    with pytest.raises(FloatingPointError, match=rf"λ={strength:g} .* after 1 steps"):
        path(x, labels, C, [strength], tolerance=1e-16, max_steps=1)


def test_one_class_needs_no_features() -> None:
    x, labels = problem()
    solution = path(x, np.zeros_like(labels), 1, [1e-3])[0]
    assert not len(solution.active_A)
    assert solution.objective == 0


# ── The head on what is kept ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("num", "width"), [(40, 150), (150, 40), (40, 40)])
def test_logistic_regression_in_the_span_is_that_in_all_features(num: int, width: int) -> None:
    x, labels = problem(num, width)
    strengths = [0.01, 1.0]
    for head, strength in zip(logistic_heads(x, labels, C, strengths), strengths, strict=True):
        primal = LogisticRegression(C=strength, tol=1e-10, max_iter=20_000).fit(x, labels)
        theirs, ours = primal.predict_log_proba(x), x @ head.weights + head.bias
        ours = ours - np.log(np.exp(ours).sum(1, keepdims=True))
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
        centred = primal.coef_.T - primal.coef_.T.mean(1, keepdims=True)
        np.testing.assert_allclose(head.weights, centred, atol=2e-5)
        assert head.flops > 0
