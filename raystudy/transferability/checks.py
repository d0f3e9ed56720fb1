"""What every score asks of its input."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raystudy.kinds import Integers

Doubles = NDArray[np.float64]


def checked(features: ArrayLike, labels: ArrayLike) -> tuple[Doubles, Integers, int]:
    """Features (N, D) in float64, labels (N,) renumbered 0 … C − 1 over the classes that occur, and
    C. Raises ValueError unless there are N ≥ 2 of each, all finite."""
    x, y = np.asarray(features, dtype=np.float64), np.asarray(labels)
    if x.ndim != 2 or y.shape != x.shape[:1] or len(x) < 2 or not x.shape[1]:
        raise ValueError(f"needs features (N, D), labels (N,), N ≥ 2; got {x.shape} and {y.shape}")
    if not np.isfinite(x).all():
        raise ValueError("features must be finite to be scored")
    classes, numbers = np.unique(y, return_inverse=True)
    return x, numbers.astype(np.int64), len(classes)


def one_hot(labels: Integers, num_classes: int) -> Doubles:
    """(N, C)."""
    return np.eye(num_classes)[labels]


def class_sums(values: Doubles, labels: Integers, num_classes: int) -> Doubles:
    """The sum of the rows of ``values`` (N, D) of each class: (C, D)."""
    return one_hot(labels, num_classes).T @ values
