"""Few-shot problems in the few dimensions that they have.

The weights that minimise a loss with an L2 penalty lie in the span of the training rows, so a
problem of n rows in D features is one in R = min(n, D) coordinates: those of the principal axes of
its standardised rows, orthogonal to each other. One eigendecomposition serves every strength.

Shapes: N rows, D features, R coordinates, K classes that have an example.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raystudy.adapt.affine import Affine
from raystudy.adapt.standardise import centre_and_scale
from raystudy.kinds import Examples, Integers, Support

Doubles = NDArray[np.float64]

MANY_ROWS = 2000
"""From which threads are worth their while."""


@dataclass(frozen=True)
class Span:
    """One set of training rows."""

    members: Sequence[int]
    """Which supports have these rows: of all that the task has, every seed draws the same."""
    classes_K: Integers
    targets_N: Integers
    """Places in ``classes``."""
    z_NxR: Doubles
    """The rows in coordinates: centred columns, orthogonal to each other, the longest last."""
    axes_DxR: Doubles
    mean_D: Doubles
    scale_D: Doubles

    @property
    def flops(self) -> float:
        """Of the Gram matrix, its eigendecomposition (about 9 R³) and the axes."""
        (N, R), D = self.z_NxR.shape, len(self.axes_DxR)
        return 4.0 * N * D * R + 9.0 * R**3

    def unfold(self, weights_RxK: Doubles, bias_K: Doubles, num_classes: int) -> Affine:
        """The map that takes features as the backbone gives them."""
        weights = (self.axes_DxR @ weights_RxK) / self.scale_D[:, None]
        return Affine(weights, bias_K - self.mean_D @ weights, self.classes_K, num_classes)


def spans(train: Examples, supports: Sequence[Support]) -> Iterator[Span]:
    """Each set of training rows once, whichever order they are in.

    Raises ValueError for a support without training rows and for features that are not finite.
    """
    distinct: dict[bytes, list[int]] = {}
    for i, support in enumerate(supports):
        distinct.setdefault(np.sort(support.train).tobytes(), []).append(i)
    for members in distinct.values():
        yield _span(train, members, np.sort(supports[members[0]].train))


def _span(train: Examples, members: Sequence[int], rows: Integers) -> Span:
    if not len(rows):
        raise ValueError("a support has no training example; give a probe at least one")
    classes, targets = np.unique(train.labels[rows], return_inverse=True)
    features = train.array[rows].astype(np.float64)
    mean, scale = centre_and_scale(features)
    axes_DxR, z_NxR = _principal((features - mean) / scale)
    return Span(members, classes, targets, z_NxR, axes_DxR, mean, scale)


def _principal(x_NxD: Doubles) -> tuple[Doubles, Doubles]:
    """Axes (D, R) and coordinates (N, R), from the smaller of the two Gram matrices. An axis along
    which rows do not differ, beyond rounding, is zero."""
    N, D = x_NxD.shape
    gram = x_NxD @ x_NxD.T if N <= D else x_NxD.T @ x_NxD
    squares, vectors = np.linalg.eigh(gram)
    is_real = squares > max(N, D) * np.finfo(np.float64).eps * max(squares[-1], 0)
    if N > D:
        axes = vectors * is_real
        return axes, x_NxD @ axes
    lengths = np.sqrt(np.where(is_real, squares, 1))
    return x_NxD.T @ (vectors * (is_real / lengths)), vectors * (is_real * lengths)


@contextmanager
def few_threads(supports: Sequence[Support]) -> Iterator[None]:
    """BLAS keeps to one thread where every problem is small: handing such products to threads costs
    ten times what it brings."""
    from threadpoolctl import threadpool_limits

    largest = max((len(s.train) for s in supports), default=0)
    with threadpool_limits(1 if largest < MANY_ROWS else None, user_api="blas"):
        yield
