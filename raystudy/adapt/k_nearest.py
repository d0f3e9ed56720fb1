"""k nearest neighbours: the classes of the most similar training examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from raystudy.adapt.affine import choosing, negative_log_likelihood, spread
from raystudy.adapt.standardise import require_finite, unit
from raystudy.kinds import Adapted, Encoder, Examples, Floats, Integers, Probe, Support
from raystudy.spec import Positive

ROWS_AT_ONCE = 1024
"""That are compared with all training examples."""


class KNearest(Probe):
    """A vote of the k training examples with the highest cosine similarity, each counted alike.

    Logits are log((votes + s) / (k + s·K)) with ``smoothing`` s, over the K classes that have a
    training example; other classes get −1e4. k is chosen by validation accuracy, since a smoothed
    share flatters large k; then by the log-likelihood, and then the smallest is taken. A k beyond
    the number of training examples counts as all of them.

    Costs: ``flops`` of comparing validation with training examples, once for every k;
    ``stored_bytes`` of the training features in single precision and of their labels. Prediction
    costs 2·N·D operations an example, which is not counted.
    """

    neighbours: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 3, 5, 10, 20)
    smoothing: Annotated[float, Field(gt=0)] = 0.1

    @property
    def name(self) -> str:
        return "k-nearest"

    def configurations(self) -> Sequence[KNearest]:
        return [self.model_copy(update={"neighbours": (k,)}) for k in self.neighbours]

    def adapt_all(
        self,
        train: Examples,
        validation: Examples,
        supports: Sequence[Support],
        encoder: Encoder,
        prompts: Sequence[Sequence[str]],
    ) -> Sequence[Adapted]:
        return [self._adapt(train, validation, s, len(prompts)) for s in supports]

    def _adapt(
        self, train: Examples, validation: Examples, support: Support, num_classes: int
    ) -> Adapted:
        N = len(support.train)
        if not N:
            raise ValueError("a support has no training example; give a probe at least one")
        require_finite(train.array[support.train])
        classes = np.unique(train.labels[support.train])
        held_out = choosing(validation, support, classes)
        sizes = sorted({min(k, N) for k in self.neighbours})
        voters = Voters(train, support.train, classes, self.smoothing)
        targets = np.searchsorted(classes, held_out.labels)
        # By errors, then by loss, then by k.
        ranked = [
            (int((scores.argmax(1) != targets).sum()), negative_log_likelihood(scores, targets), k)
            for k, scores in zip(sizes, voters.scores(held_out.array, sizes), strict=True)
        ]
        k = min(ranked)[2]
        D = train.array.shape[1]
        cost = {"flops": 2.0 * N * D * len(held_out), "stored_bytes": 4.0 * N * D + 8.0 * N}
        return Adapted(Vote(voters, k, num_classes), {"k": k}, len(sizes), cost)


@dataclass(frozen=True)
class Voters:
    """N rows of the training features, which stay where they are: often mapped from disk."""

    train: Examples
    rows_N: Integers
    classes_K: Integers
    smoothing: float

    def scores(self, features: Floats, sizes: Sequence[int]) -> list[NDArray[np.float64]]:
        """Features (M, D) → the logarithm of smoothed shares (M, K) for every k of ``sizes``."""
        K, most = len(self.classes_K), max(sizes)
        targets = np.searchsorted(self.classes_K, self.train.labels[self.rows_N])
        parts = [
            [_votes(targets[nearest[:, :k]], K) for k in sizes]
            for nearest in self._nearest(features, most)
        ]
        votes = [np.concatenate(of) for of in zip(*parts, strict=True)]
        s = self.smoothing
        return [np.log((v + s) / (k + s * K)) for v, k in zip(votes, sizes, strict=True)]

    def _nearest(self, features: Floats, most: int) -> Iterator[Integers]:
        """Places of the nearest ``most``, nearest first, for some rows of ``features`` at a time.
        Of equally similar ones the first come first, but where the last of them is cut off."""
        known = unit(self.train.array[self.rows_N].astype(np.float64))
        for first in range(0, max(1, len(features)), ROWS_AT_ONCE):
            asked = unit(features[first : first + ROWS_AT_ONCE].astype(np.float64))
            distance = -(asked @ known.T)
            places = np.sort(np.argpartition(distance, most - 1, axis=1)[:, :most], axis=1)
            order = np.argsort(np.take_along_axis(distance, places, 1), axis=1, kind="stable")
            yield np.take_along_axis(places, order, 1)


@dataclass(frozen=True)
class Vote:
    """Features (M, D) → logits (M, C)."""

    voters: Voters
    k: int
    num_classes: int

    def __call__(self, features: Floats) -> Floats:
        (scores,) = self.voters.scores(features, [self.k])
        return spread(scores, self.voters.classes_K, self.num_classes)


def _votes(targets_Mxk: Integers, num_classes: int) -> NDArray[np.float64]:
    """How many of k name each class. (M, K)"""
    M = len(targets_Mxk)
    places = targets_Mxk + num_classes * np.arange(M)[:, None]
    counts = np.bincount(places.ravel(), minlength=M * num_classes)
    return counts.reshape(M, num_classes).astype(np.float64)
