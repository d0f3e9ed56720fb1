"""Ridge against scikit-learn's and against the normal equations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge as OfScikitLearn

from raystudy.adapt.ridge import Ridge

from .problems import adapt, features, standardised

PENALTIES = (1e-3, 1.0, 1e3)


def one_hot(labels: np.ndarray, num_classes: int) -> np.ndarray:
    return (labels[:, None] == np.arange(num_classes)).astype(np.float64)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("num_examples", [4, 20, 200])
def test_is_scikit_learns(num_examples: int, penalty: float) -> None:
    train, test = features(num_examples, 30), features(50, 30, seed=1)
    theirs = OfScikitLearn(alpha=penalty, solver="cholesky").fit(
        standardised(train, train.array), one_hot(train.labels, 4)
    )
    adapted = adapt(Ridge(penalties=(penalty,)), train, test)
    np.testing.assert_allclose(
        adapted.predict(test.array),
        theirs.predict(standardised(train, test.array)),
        rtol=1e-5,
        atol=1e-6,
    )


@settings(deadline=None, max_examples=40)
@given(
    num_examples=st.integers(3, 30),
    num_features=st.integers(1, 30),
    penalty=st.sampled_from(PENALTIES),
    seed=st.integers(0, 2**16),
)
def test_primal_and_dual(num_examples: int, num_features: int, penalty: float, seed: int) -> None:
    """(XᵀX + αI)⁻¹ Xᵀ Y and Xᵀ (XXᵀ + αI)⁻¹ Y, whichever has the smaller matrix."""
    train = features(num_examples, num_features, 3, seed=seed)
    test = features(10, num_features, 3, seed=seed + 1)
    x, asked = (standardised(train, e.array) for e in (train, test))
    hot = one_hot(train.labels, 3)
    y = hot - hot.mean(0)
    primal = np.linalg.solve(x.T @ x + penalty * np.eye(num_features), x.T @ y)
    dual = x.T @ np.linalg.solve(x @ x.T + penalty * np.eye(num_examples), y)
    found = adapt(Ridge(penalties=(penalty,)), train, test, 3).predict(test.array)
    for weights in (primal, dual):
        np.testing.assert_allclose(found, asked @ weights + hot.mean(0), rtol=1e-3, atol=2e-4)


def test_the_choice_is_the_least_squared_error() -> None:
    penalties = (1.0, 1e1, 1e2, 1e3, 1e4)
    seen = set()
    for apart in (0.1, 0.5, 5.0):
        train, validation = features(40, 12, 4, apart), features(100, 12, 4, apart, seed=1)
        errors = [
            (
                (
                    adapt(Ridge(penalties=(p,)), train, validation).predict(validation.array)
                    - one_hot(validation.labels, 4)
                )
                ** 2
            ).sum()
            for p in penalties
        ]
        chosen = adapt(Ridge(penalties=penalties), train, validation).chosen["alpha"]
        assert chosen == penalties[int(np.argmin(errors))]
        seen.add(chosen)
    assert len(seen) > 1
