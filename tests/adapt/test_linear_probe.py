"""Linear probes against scikit-learn's logistic regression, run to its end."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from raystudy.adapt import logistic
from raystudy.adapt.affine import Affine
from raystudy.adapt.linear_probe import LinearProbe
from raystudy.adapt.span import spans
from raystudy.kinds import Adapted, Examples

from .problems import adapt, adapt_all, features, shares, standardised, support

Doubles = NDArray[np.float64]
STRENGTHS = (1e-4, 1e-2, 1.0, 1e2)
PROBLEMS = {
    "fewer rows than features": (features(24, 40, 4), 4),
    "more rows than features": (features(150, 12, 4, apart=0.3), 4),
    "separable": (features(60, 12, 4, apart=20.0), 4),
    "one example a class": (features(6, 30, 6), 6),
    "two classes": (features(40, 8, 2, apart=0.5), 2),
    "two classes, separable": (features(30, 50, 2, apart=5.0), 2),
    "noise": (features(90, 20, 3, apart=0.0), 3),
}


def objective(train: Examples, weights: Doubles, bias: Doubles | float, strength: float) -> float:
    """scikit-learn's, of weights (D, K), or (D, 1) if there are two classes."""
    scores = standardised(train, train.array) @ weights + bias
    if scores.shape[1] == 1:
        scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
    top = scores.max(1, keepdims=True)
    losses = np.log(np.exp(scores - top).sum(1)) + top[:, 0]
    losses -= scores[np.arange(len(train)), train.labels]
    return strength * losses.sum() + 0.5 * (weights**2).sum()


def of_standardised(adapted: Adapted, train: Examples) -> tuple[Doubles, Doubles]:
    """The weights and biases for standardised features that ``adapted`` stands for."""
    head = adapted.predict
    assert isinstance(head, Affine)
    # The map from standardised to plain features, found by asking for its values.
    D = train.array.shape[1]
    at_zero = standardised(train, np.zeros((1, D)))
    scale = 1 / (standardised(train, np.ones((1, D))) - at_zero)[0]
    mean = -at_zero[0] * scale
    weights, bias = head.weights_DxK * scale[:, None], head.bias_K + mean @ head.weights_DxK
    if weights.shape[1] == 2:
        return weights[:, 1:] - weights[:, :1], bias[1:] - bias[:1]
    return weights, bias


def scikit_learn(train: Examples, strength: float) -> LogisticRegression:
    model = LogisticRegression(C=strength, solver="newton-cg", tol=1e-10, max_iter=10_000)
    return model.fit(standardised(train, train.array), train.labels)


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_optimum_is_scikit_learns(problem: str, strength: float) -> None:
    train, num_classes = PROBLEMS[problem]
    test = features(200, train.array.shape[1], num_classes, seed=3)
    probe = LinearProbe(strengths=(strength,))
    adapted = adapt(probe, train, test, num_classes)
    theirs = scikit_learn(train, strength)
    ours = objective(train, *of_standardised(adapted, train), strength)
    expected = objective(train, theirs.coef_.T, theirs.intercept_, strength)
    assert ours == pytest.approx(expected, rel=1e-6)

    predicted = theirs.predict_proba(standardised(train, test.array))
    found = shares(adapted.predict(test.array))
    np.testing.assert_allclose(found, predicted, atol=1e-5)
    second, first = np.sort(predicted, axis=1)[:, -2:].T
    clear = first - second > 1e-5
    assert clear.mean() > 0.9
    assert (found.argmax(1) == predicted.argmax(1))[clear].all()


@settings(deadline=None, max_examples=60)
@given(
    num_classes=st.integers(2, 5),
    num_examples=st.integers(2, 40),
    num_features=st.integers(1, 25),
    apart=st.sampled_from([0.0, 0.5, 3.0, 30.0]),
    strength=st.sampled_from(STRENGTHS),
    seed=st.integers(0, 2**16),
)
def test_the_gradient_is_zero(
    num_classes: int,
    num_examples: int,
    num_features: int,
    apart: float,
    strength: float,
    seed: int,
) -> None:
    """The objective is strongly convex, so its gradient bounds the distance to the minimum."""
    num_examples = max(num_examples, num_classes)
    train = features(num_examples, num_features, num_classes, apart, seed)
    adapted = adapt(LinearProbe(strengths=(strength,)), train, train, num_classes)
    weights, bias = of_standardised(adapted, train)
    x = standardised(train, train.array)
    hot = train.labels[:, None] == np.arange(num_classes)
    if num_classes == 2:
        residual = shares(np.concatenate([-(x @ weights + bias), np.zeros_like(hot[:, :1])], 1))
        residual, hot = residual[:, 1:], hot[:, 1:]
    else:
        residual = shares(x @ weights + bias)
    residual = residual - hot
    gradient = strength * x.T @ residual + weights
    gap = 0.5 * (gradient**2).sum() + strength * np.abs(residual.sum(0)).sum()
    assert gap <= 1e-8 * objective(train, weights, bias, strength)


def test_the_choice_is_the_least_validation_loss() -> None:
    strengths = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
    chosen, best = [], []
    for apart in (0.15, 0.5, 2.0):
        train, validation = features(40, 12, 4, apart), features(100, 12, 4, apart, seed=1)
        adapted = adapt(LinearProbe(strengths=strengths), train, validation)
        chosen.append(adapted.chosen["C"])
        losses = []
        for strength in strengths:
            predicted = scikit_learn(train, strength).predict_proba(
                standardised(train, validation.array)
            )
            losses.append(log_loss(validation.labels, predicted, labels=range(4)))
        best.append(strengths[int(np.argmin(losses))])
        assert adapted.num_tried == 6
    assert chosen == best
    assert len(set(best)) > 1


def test_strengths_together_are_each_alone() -> None:
    """What comes of a strength does not hang on those that were solved before it."""
    train, validation = features(60, 30, 4), features(20, 30, 4, seed=1)
    for strength in STRENGTHS:
        wrong = replace(validation, labels=train.labels[:20])
        alone = adapt(LinearProbe(strengths=(strength,)), train, wrong)
        rest = [s for s in STRENGTHS if s <= strength]
        path = adapt(LinearProbe(strengths=tuple(rest)), train, train)
        assert path.chosen["C"] == strength  # the weakest always fits the training rows best
        np.testing.assert_allclose(
            path.predict(validation.array), alone.predict(validation.array), rtol=1e-5, atol=1e-6
        )


def test_a_row_twice_is_twice_the_strength() -> None:
    train, validation = features(40, 12, 4), features(30, 12, 4, seed=1)
    rows = list(range(40))
    (twice,) = adapt_all(
        LinearProbe(strengths=(0.1,)), train, validation, [support(rows * 2, range(30))]
    )
    (once,) = adapt_all(
        LinearProbe(strengths=(0.2,)), train, validation, [support(rows, range(30))]
    )
    np.testing.assert_allclose(
        twice.predict(validation.array), once.predict(validation.array), rtol=1e-5, atol=1e-6
    )


def test_seeds_that_draw_the_same_rows_share_a_solution() -> None:
    train, validation = features(40), features(30, seed=1)
    first, second = adapt_all(
        LinearProbe(),
        train,
        validation,
        [support(range(40), range(30), 0), support(range(40), range(30), 1)],
    )
    assert first.cost == second.cost
    np.testing.assert_array_equal(first.predict(validation.array), second.predict(validation.array))


def test_what_does_not_converge_is_an_error_that_names_the_strength() -> None:
    train = features(60, 12, 4, apart=0.5)
    with pytest.raises(FloatingPointError, match="did not converge at C=100 in 1 Newton steps"):
        adapt(LinearProbe(strengths=(100.0,), max_iterations=1), train, train)


@pytest.mark.parametrize("limit", ["MAX_LOGITS", "MAX_INVERTED"])
def test_little_memory_gives_the_same_optima(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One strength at a time, or with next to no preconditioner."""
    train = features(60, 30, 4)
    (span,) = spans(train, [support(range(60), [])])
    x = np.concatenate([span.z_NxR, np.ones((60, 1))], axis=1)
    plain = logistic.solve(x, train.labels, 4, STRENGTHS, 100)
    monkeypatch.setattr(logistic, limit, 1)
    little = logistic.solve(x, train.labels, 4, STRENGTHS, 100)
    np.testing.assert_allclose(little.weights_SxRxK, plain.weights_SxRxK, rtol=1e-2, atol=1e-4)
    if limit == "MAX_INVERTED":  # which is what a preconditioner is for
        assert little.num_products_S[-1] > 1.3 * plain.num_products_S[-1]


def test_features_of_any_scale() -> None:
    train, validation = features(40), features(30, seed=1)
    plain = adapt(LinearProbe(), train, validation).predict(validation.array)
    for scale in (1e-6, 1e6):
        few, asked = (replace(e, inputs=e.array * np.float32(scale)) for e in (train, validation))
        logits = adapt(LinearProbe(), few, asked).predict(asked.array)
        np.testing.assert_allclose(logits, plain, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("strengths", [(), (0.0,), (-1.0,)])
def test_strengths_are_positive_and_there_are_some(strengths: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError):
        LinearProbe(strengths=strengths)
