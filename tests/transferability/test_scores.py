"""Transferability scores against the papers' equations, and in cases whose answer is known."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import ortho_group

from raystudy.transferability.h_score import h_score
from raystudy.transferability.leep import leep
from raystudy.transferability.logme import logme
from raystudy.transferability.nleep import nleep
from raystudy.transferability.transrate import transrate

SCORES: dict[str, Callable] = {
    "logme": logme,
    "h-score": h_score,
    "shrunk h-score": lambda f, y: h_score(f, y, shrinkage=True),
    "transrate": transrate,
    "nleep": lambda f, y: nleep(f, y, num_clusters=6),
}


def problem(
    num_examples: int, num_features: int, num_classes: int, gap: float = 1.0, seed: int = 0
):
    """Classes around means that are ``gap`` apart, on correlated features."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(num_classes, size=num_examples)
    means = rng.normal(size=(num_classes, num_features)) * gap
    mixing = rng.normal(size=(num_features, num_features)) / num_features**0.5 + np.eye(
        num_features
    )
    return means[labels] + rng.normal(size=(num_examples, num_features)) @ mixing + 0.3, labels


DETERMINED = [(200, 8, 3), (150, 5, 9), (90, 40, 3)]
SHAPES = [*DETERMINED, (30, 50, 3), (60, 60, 2)]
"""Where N ≤ D some iterations of the papers end in 0/0."""


class TestLogME:
    @pytest.mark.parametrize("shape", DETERMINED)
    @pytest.mark.parametrize("gap", [0.0, 0.5, 2.0])
    def test_is_the_highest_evidence(self, shape: Any, gap: float) -> None:
        """Equation 2 with full matrices, searched over α and β by another optimiser."""
        from scipy.optimize import minimize

        F, y = problem(*shape, gap=gap)
        total = 0.0
        for c in np.unique(y):
            target = (y == c).astype(float)

            def loss(logs, target=target):
                return -_evidence(F, target, *np.exp(np.clip(logs, -20, 20)))

            starts = [(a, b) for a in (-2.0, 3.0, 8.0) for b in (0.0, 3.0)]
            found = min(
                minimize(loss, s, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}).fun
                for s in starts
            )
            total += -found / len(y)
        assert logme(F, y) == pytest.approx(total / len(np.unique(y)), abs=1e-6)

    @pytest.mark.parametrize("shape", DETERMINED)
    def test_is_the_papers_fixed_point(self, shape: Any) -> None:
        """Algorithm 1 with explicit inverses, an example of one class at a time."""
        F, y = problem(*shape)
        found = logme(F, y)
        iterated = np.mean([_fixed_point(F, (y == c).astype(float)) for c in np.unique(y)])
        assert found == pytest.approx(iterated, abs=1e-6)

    def test_labels_that_are_linear_in_features_score_high_and_finite(self) -> None:
        y = np.arange(60) % 3
        perfect = logme(np.eye(3)[y], y)
        noisy = logme(np.eye(3)[y] + np.random.default_rng(0).normal(0, 0.1, (60, 3)), y)
        assert np.isfinite(perfect)
        assert perfect > noisy + 1

    def test_features_that_are_all_zero_say_what_the_labels_say(self) -> None:
        y = np.arange(60) % 3
        expected = -(np.log(2 * np.pi / 3) + 1) / 2  # no weights: noise of the mean square 1/3
        assert logme(np.zeros((60, 4)), y) == pytest.approx(expected, abs=1e-9)

    def test_scale_of_features_does_not_matter(self) -> None:
        F, y = problem(200, 8, 3, 1.0)
        assert logme(F * 1e3, y) == pytest.approx(logme(F, y), abs=1e-7)


class TestHScore:
    @pytest.mark.parametrize("shape", SHAPES)
    def test_is_its_definition(self, shape: Any) -> None:
        F, y = problem(*shape)
        g = np.stack([F[y == label].mean(0) for label in y])
        expected = np.trace(np.linalg.pinv(np.cov(F.T), rcond=1e-10) @ np.cov(g.T))
        assert h_score(F, y) == pytest.approx(expected, rel=1e-6)

    @pytest.mark.parametrize("shape", SHAPES)
    def test_shrunk_is_its_definition(self, shape: Any) -> None:
        from sklearn.covariance import LedoitWolf

        F, y = problem(*shape)
        fit = LedoitWolf().fit(F)
        g = np.stack([F[y == label].mean(0) for label in y])
        between = (1 - fit.shrinkage_) * np.cov(g.T, bias=True)
        expected = np.trace(np.linalg.inv(fit.covariance_) @ between)
        assert h_score(F, y, shrinkage=True) == pytest.approx(expected, rel=1e-6)

    def test_separate_points_reach_the_bound(self) -> None:
        y = np.arange(90) % 4
        assert h_score(np.eye(4)[y], y) == pytest.approx(3)

    def test_more_features_than_examples_reach_it_whatever_they_are(self) -> None:
        F, y = problem(30, 50, 3, 0.0)
        assert h_score(F, y) == pytest.approx(2, rel=1e-6)
        assert h_score(F, y, shrinkage=True) < 1

    def test_any_invertible_map_leaves_it(self) -> None:
        F, y = problem(200, 8, 3, 1.0)
        A = np.random.default_rng(1).normal(size=(8, 8))
        assert h_score(F @ A + 5, y) == pytest.approx(h_score(F, y), rel=1e-8)

    def test_features_that_are_all_alike_score_0(self) -> None:
        assert h_score(np.ones((10, 3)), np.arange(10) % 2) == 0


class TestLEEP:
    def test_is_its_definition(self) -> None:
        rng = np.random.default_rng(0)
        theta = rng.dirichlet(np.ones(4), 50)
        y = rng.integers(3, size=50)
        joint = np.zeros((3, 4))
        for label, row in zip(y, theta, strict=True):
            joint[label] += row / 50
        terms = []
        for label, row in zip(y, theta, strict=True):
            terms.append(
                np.log(sum(joint[label, z] / joint[:, z].sum() * row[z] for z in range(4)))
            )
        assert leep(theta, y) == pytest.approx(np.mean(terms), abs=1e-9)

    def test_a_source_class_for_each_label_is_perfect(self) -> None:
        y = np.arange(40) % 4
        assert leep(np.eye(6)[y], y) == pytest.approx(0, abs=1e-12)

    def test_a_source_that_says_nothing_has_the_entropy_of_the_labels(self) -> None:
        y = np.r_[np.zeros(30, int), np.ones(10, int)]
        expected = 0.75 * np.log(0.75) + 0.25 * np.log(0.25)
        assert leep(np.full((40, 5), 0.2), y) == pytest.approx(expected)

    @pytest.mark.parametrize("theta", [np.full((4, 2), 0.7), np.array([[1.5, -0.5]] * 4)])
    def test_what_is_no_probability_is_refused(self, theta) -> None:
        with pytest.raises(ValueError, match="sum to 1"):
            leep(theta, np.arange(4) % 2)


class TestNLEEP:
    def test_is_leep_of_clusters(self) -> None:
        """Three far clusters: responsibilities are 0 or 1, whatever finds them."""
        rng = np.random.default_rng(0)
        cluster = rng.integers(3, size=150)
        F = np.eye(3)[cluster] * 100 + rng.normal(size=(150, 3))
        y = np.where(rng.random(150) < 0.8, cluster, rng.integers(3, size=150))
        expected = leep(np.eye(3)[cluster], y)
        assert nleep(F, y, num_clusters=3) == pytest.approx(expected, abs=1e-6)

    def test_is_pure_in_its_seed(self) -> None:
        F, y = problem(120, 6, 3, 1.0)
        assert nleep(F, y, seed=3) == nleep(F, y, seed=3)

    def test_fewer_examples_than_clusters_is_no_obstacle(self) -> None:
        F, y = problem(12, 6, 3, 1.0)
        assert np.isfinite(nleep(F, y, covariance="diag"))

    def test_features_that_are_all_alike_are_refused(self) -> None:
        with pytest.raises(ValueError, match="no clusters"):
            nleep(np.ones((10, 3)), np.arange(10) % 2)


class TestTransRate:
    @pytest.mark.parametrize("distortion", [1e-4, 1.0])
    def test_is_the_papers_listing_where_classes_are_equal(self, distortion: float) -> None:
        F, _ = problem(90, 7, 3, 1.0)
        y = np.arange(90) % 3

        def rate(Z):
            n, d = Z.shape
            return 0.5 * np.linalg.slogdet(np.eye(d) + Z.T @ Z / (n * distortion))[1]

        Z = F - F.mean(0)
        expected = rate(Z) - sum(rate(Z[y == c]) for c in range(3)) / 3
        assert transrate(F, y, distortion=distortion) == pytest.approx(expected, abs=1e-8)

    @pytest.mark.parametrize("shape", SHAPES)
    def test_classes_weigh_by_their_size(self, shape: Any) -> None:
        F, y = problem(*shape)
        Z = F - F.mean(0)

        def rate(Z):
            s = np.linalg.svd(Z, compute_uv=False)
            return 0.5 * np.sum(np.log1p(s**2 / (len(Z) * 1e-4)))

        expected = rate(Z) - sum((y == c).mean() * rate(Z[y == c]) for c in np.unique(y))
        assert transrate(F, y) == pytest.approx(expected, abs=1e-7)

    def test_one_class_has_none(self) -> None:
        F, _ = problem(50, 5, 2, 1.0)
        assert transrate(F, np.zeros(50, int)) == pytest.approx(0, abs=1e-12)

    def test_a_distortion_of_nothing_is_refused(self) -> None:
        with pytest.raises(ValueError, match="must be positive"):
            transrate(np.eye(3), np.arange(3), distortion=0.0)


@pytest.mark.parametrize("name", SCORES)
class TestEveryScore:
    def test_grows_as_classes_part(self, name: str) -> None:
        found = [SCORES[name](*problem(400, 6, 3, gap)) for gap in (0.0, 0.5, 2.0)]
        assert found[0] < found[1] < found[2]

    def test_shuffled_labels_are_worse(self, name: str) -> None:
        F, y = problem(400, 6, 3, 1.0)
        mixed = np.random.default_rng(0).permutation(y)
        assert SCORES[name](F, mixed) < SCORES[name](F, y)

    def test_rotated_features_score_alike(self, name: str) -> None:
        F, y = problem(200, 6, 3, 1.0)
        turned = F @ ortho_group.rvs(6, random_state=0)
        assert SCORES[name](turned, y) == pytest.approx(SCORES[name](F, y), abs=1e-6)

    def test_names_of_classes_do_not_matter(self, name: str) -> None:
        F, y = problem(200, 6, 3, 1.0)
        assert SCORES[name](F, np.array([7, 2, 40])[y]) == pytest.approx(SCORES[name](F, y))

    def test_takes_features_of_half_precision(self, name: str) -> None:
        F, y = problem(200, 6, 3, 1.0)
        half = F.astype(np.float16)
        assert SCORES[name](half, y) == pytest.approx(SCORES[name](half.astype(float), y))

    @pytest.mark.parametrize(
        ("F", "y"),
        [
            (np.zeros((0, 3)), np.zeros(0, int)),
            (np.ones((4, 3)), np.zeros(3, int)),
            (np.full((4, 3), np.nan), np.arange(4)),
        ],
    )
    def test_what_cannot_be_scored_is_refused(self, name: str, F, y) -> None:
        with pytest.raises(ValueError, match=r"N ≥ 2|finite"):
            SCORES[name](F, y)


def _evidence(F, y, alpha, beta) -> float:
    n, d = F.shape
    A = alpha * np.eye(d) + beta * F.T @ F
    m = beta * np.linalg.solve(A, F.T @ y)
    return 0.5 * (
        n * np.log(beta)
        + d * np.log(alpha)
        - n * np.log(2 * np.pi)
        - beta * np.sum((F @ m - y) ** 2)
        - alpha * m @ m
        - np.linalg.slogdet(A)[1]
    )


def _fixed_point(F, y) -> float:
    alpha = beta = 1.0
    eigenvalues = np.linalg.eigvalsh(F.T @ F)
    for _ in range(2000):
        gamma = np.sum(beta * eigenvalues / (alpha + beta * eigenvalues))
        A = alpha * np.eye(F.shape[1]) + beta * F.T @ F
        m = beta * np.linalg.solve(A, F.T @ y)
        before = alpha, beta
        alpha, beta = gamma / (m @ m), (len(y) - gamma) / np.sum((F @ m - y) ** 2)
        if np.allclose(before, (alpha, beta), rtol=1e-12):
            break
    return _evidence(F, y, alpha, beta) / len(y)
