"""Class means and nearest neighbours against scikit-learn's."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.preprocessing import normalize

from raystudy.adapt.k_nearest import KNearest
from raystudy.adapt.nearest_class_mean import NearestClassMean

from .problems import adapt, features, shares

TRAIN, TEST = features(60, 12, 4, apart=0.4), features(300, 12, 4, apart=0.4, seed=1)


class TestNearestClassMean:
    def test_euclidean_is_scikit_learns(self) -> None:
        theirs = NearestCentroid().fit(TRAIN.array, TRAIN.labels)
        logits = adapt(NearestClassMean(), TRAIN, TEST).predict(TEST.array)
        np.testing.assert_array_equal(logits.argmax(1), theirs.predict(TEST.array))
        squares = ((TEST.array[:, None] - theirs.centroids_[None]) ** 2).sum(2)
        np.testing.assert_allclose(
            logits - logits[:, :1], squares[:, :1] - squares, rtol=1e-3, atol=1e-3
        )

    def test_cosine_is_of_the_mean_direction(self) -> None:
        directions = normalize(TRAIN.array.astype(np.float64))
        means = np.stack([directions[TRAIN.labels == c].mean(0) for c in range(4)])
        logits = adapt(NearestClassMean(distance="cosine"), TRAIN, TEST).predict(TEST.array)
        np.testing.assert_allclose(logits, cosine_similarity(TEST.array, means), atol=1e-6)

    def test_cosine_knows_no_length(self) -> None:
        lengths = np.random.default_rng(0).uniform(0.1, 10, (60, 1)).astype(np.float32)
        stretched = replace(TRAIN, inputs=TRAIN.array * lengths)
        probe = NearestClassMean(distance="cosine")
        np.testing.assert_allclose(
            adapt(probe, TRAIN, TEST).predict(TEST.array),
            adapt(probe, stretched, TEST).predict(3 * TEST.array),
            atol=1e-6,
        )

    def test_large_features_leave_absent_classes_last(self) -> None:
        large = replace(TRAIN, inputs=1e4 * TRAIN.array, labels=TRAIN.labels % 3)
        logits = adapt(NearestClassMean(), large, TEST).predict(large.array)
        assert (logits[:, 3] < logits[:, :3].min(1)).all()


class TestKNearest:
    @pytest.mark.parametrize("k", [1, 5, 60])
    def test_votes_are_scikit_learns(self, k: int) -> None:
        theirs = KNeighborsClassifier(k, metric="cosine", algorithm="brute")
        theirs.fit(TRAIN.array.astype(np.float64), TRAIN.labels)
        adapted = adapt(KNearest(neighbours=(k,), smoothing=0.5), TRAIN, TEST)
        votes = k * theirs.predict_proba(TEST.array.astype(np.float64))
        found = shares(adapted.predict(TEST.array)) * (k + 0.5 * 4) - 0.5
        np.testing.assert_allclose(found, votes, atol=1e-4)

    def test_logits_are_log_shares(self) -> None:
        logits = adapt(KNearest(), TRAIN, TEST).predict(TEST.array)
        np.testing.assert_allclose(np.exp(logits).sum(1), 1, rtol=1e-5)

    def test_the_choice_is_the_most_accurate(self) -> None:
        sizes, chosen = (1, 5, 15, 40), set()
        for apart in (0.2, 0.4, 0.8):
            train, validation = features(60, 12, 4, apart), features(301, 12, 4, apart, seed=1)
            x, y = (e.array.astype(np.float64) for e in (train, validation))
            right = [
                KNeighborsClassifier(k, metric="cosine", algorithm="brute")
                .fit(x, train.labels)
                .score(y, validation.labels)
                for k in sizes
            ]
            adapted = adapt(KNearest(neighbours=sizes), train, validation)
            assert right[sizes.index(int(adapted.chosen["k"]))] == max(right)
            chosen.add(adapted.chosen["k"])
        assert len(chosen) > 1

    def test_more_neighbours_than_examples_are_all_of_them(self) -> None:
        few = TRAIN.take(np.arange(8))
        adapted = adapt(KNearest(neighbours=(50, 100)), few, TEST)
        assert adapted.chosen == {"k": 8}
        assert adapted.num_tried == 1
        np.testing.assert_allclose(adapted.predict(TEST.array), np.log(1 / 4), rtol=1e-6)

    def test_a_vector_of_zeros_is_like_any(self) -> None:
        logits = adapt(KNearest(), TRAIN, TEST).predict(np.zeros((2, 12), np.float32))
        assert np.isfinite(logits).all()
