"""Softmax regression with an L2 penalty on many more features than examples.

The optimum lies in the span of the centred rows, so the problem is solved in the coordinates of
their principal axes (``raystudy.adapt.logistic``), found from the smaller of the two Gram matrices.

Shapes: N rows, K features, R = min(N, K) coordinates, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raystudy.adapt.logistic import solve
from raystudy.kinds import Floats, Integers

Doubles = NDArray[np.float64]

MAX_STEPS = 500
"""Of Newton's method."""
BLOCK = 4096
"""Features that are widened to double precision at a time."""


@dataclass(frozen=True)
class LogisticHead:
    weights: Doubles
    """(K, C)"""
    bias: Doubles
    """(C,)"""
    flops: float
    """The first of several includes the decomposition."""


def logistic_heads(
    x_NxK: Floats, labels: Integers, num_classes: int, strengths: Sequence[float]
) -> list[LogisticHead]:
    """One for each of ``strengths``, scikit-learn's C, with the bias left free. ``labels`` lie in
    [0, C), and each class has a row.

    Raises FloatingPointError, naming the strength, for features that are not finite.
    """
    N, K = x_NxK.shape
    mean = x_NxK.mean(0, dtype=np.float64)
    axes_KxR, z_NxR = _principal(x_NxK, mean)
    z = np.concatenate([z_NxR, np.ones((N, 1))], 1)
    found = solve(z, labels, num_classes, strengths, MAX_STEPS)
    heads, spent = [], 4.0 * N * K * min(N, K) + 9.0 * min(N, K) ** 3
    for w, num_products in zip(found.weights_SxRxK, found.num_products_S, strict=True):
        weights = axes_KxR @ w[:-1].astype(axes_KxR.dtype)
        spent += 2.0 * z.size * num_classes * int(num_products)
        heads.append(LogisticHead(weights, w[-1] - mean @ weights, spent))
        spent = 0.0
    return heads


def _principal(x: Floats, mean: Doubles) -> tuple[Floats, Doubles]:
    """Axes (K, R) and coordinates (N, R) of the rows, less what ``mean`` says. An axis along which
    they do not differ, beyond rounding, is left out."""
    N, K = x.shape
    gram = _gram_of_rows(x, mean) if N <= K else (x - mean).T @ (x - mean)
    squares, vectors = np.linalg.eigh(gram)
    real = squares > max(N, K) * np.finfo(np.float64).eps * max(squares[-1], 0)
    vectors, lengths = vectors[:, real], np.sqrt(squares[real])
    if N > K:
        return vectors, (x - mean) @ vectors
    by_row = (vectors / lengths).astype(x.dtype)
    return x.T @ by_row - np.outer(mean, by_row.sum(0)).astype(x.dtype), vectors * lengths


def _gram_of_rows(x: Floats, mean: Doubles) -> Doubles:
    """(N, N), in double precision without a copy of all features."""
    total = np.zeros((len(x), len(x)))
    for first in range(0, x.shape[1], BLOCK):
        block = x[:, first : first + BLOCK] - mean[first : first + BLOCK]
        total += block @ block.T
    return total
