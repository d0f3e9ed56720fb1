"""Affine maps of features to logits, and the choice among several of them on validation data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raystudy.kinds import Examples, Floats, Integers, Support

Doubles = NDArray[np.float64]
Loss = Callable[[Doubles, Integers], float]
"""Of scores (N, K) for targets (N,) in [0, K)."""

MISSING = -1e4
"""The logit of a class without a training example, or less where others are as low."""


@dataclass(frozen=True)
class Affine:
    """Features (N, D) → logits (N, C), of which K classes had an example to learn from."""

    weights_DxK: Doubles
    bias_K: Doubles
    classes_K: Integers
    num_classes: int

    def __call__(self, features: Floats) -> NDArray[np.float32]:
        return spread(self.scores(features), self.classes_K, self.num_classes)

    def scores(self, features: Floats) -> Doubles:
        """(N, D) → (N, K), of the classes that had an example."""
        return features.astype(np.float64) @ self.weights_DxK + self.bias_K

    @property
    def stored_bytes(self) -> float:
        """In single precision."""
        return 4.0 * (self.weights_DxK.size + self.bias_K.size)


def spread(scores_NxK: Doubles, classes_K: Integers, num_classes: int) -> NDArray[np.float32]:
    """Logits of all C classes: those without a training example get less than any other."""
    logits = np.empty((len(scores_NxK), num_classes), np.float32)
    logits[:] = np.minimum(MISSING, 2 * scores_NxK.min(1, keepdims=True))
    logits[:, classes_K] = scores_NxK
    return logits


def choose(
    candidates: Iterable[tuple[float, Affine]], held_out: Examples, loss: Loss
) -> tuple[float, Affine]:
    """The candidate, with its strength, that has the least loss on ``held_out``; the first of
    those that agree. Raises FloatingPointError if none has a finite loss."""
    features = held_out.array.astype(np.float64)
    best_loss, best = np.inf, None
    for strength, head in candidates:
        targets = np.searchsorted(head.classes_K, held_out.labels)
        found = loss(head.scores(features), targets)
        if found < best_loss:
            best_loss, best = found, (strength, head)
    if best is None:
        raise FloatingPointError("no strength gave a finite validation loss; check features")
    return best


def choosing(validation: Examples, support: Support, classes_K: Integers) -> Examples:
    """The validation examples of a support that are of ``classes_K``: nothing that was learnt
    without an example of a class can be told from the others by examples of that class.

    Raises ValueError if there are none.
    """
    rows = support.validation
    if not len(rows):
        raise ValueError(
            "a support has no validation example, and a probe chooses its hyper-parameters on "
            "them; give it some"
        )
    rows = rows[np.isin(validation.labels[rows], classes_K)]
    if not len(rows):
        raise ValueError(
            "no validation example is of a class that has a training example; nothing can be "
            "chosen on them"
        )
    return validation.take(rows)


def negative_log_likelihood(scores_NxK: Doubles, targets_N: Integers) -> float:
    top = scores_NxK.max(1, keepdims=True)
    log_sum = top[:, 0] + np.log(np.exp(scores_NxK - top).sum(1))
    return float(np.mean(log_sum - scores_NxK[np.arange(len(targets_N)), targets_N]))


def squared_error(scores_NxK: Doubles, targets_N: Integers) -> float:
    """Mean of the squared distance to one-hot targets."""
    hot = targets_N[:, None] == np.arange(scores_NxK.shape[1])
    return float(np.mean(((scores_NxK - hot) ** 2).sum(1)))
