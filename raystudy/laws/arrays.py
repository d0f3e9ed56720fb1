"""Parameters taken apart, slopes put together: the shapes that every form shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Doubles = NDArray[np.float64]


def each(parameters: ArrayLike) -> list[Doubles]:
    """Parameters (…, P) to P arrays (…, 1)."""
    values = np.asarray(parameters, dtype=np.float64)
    return [values[..., i, None] for i in range(values.shape[-1])]


def columns(x: ArrayLike) -> list[Doubles]:
    """Inputs (N, K) to K arrays (N,); (N,) is one input."""
    values = np.asarray(x, dtype=np.float64)
    return [values] if values.ndim == 1 else [values[:, k] for k in range(values.shape[1])]


def stacked(*slopes: ArrayLike) -> Doubles:
    """P slopes, each (…, N) or broadcasting to it, to (…, P, N)."""
    shape = np.broadcast_shapes(*(np.shape(slope) for slope in slopes))
    rows = np.empty((*shape[:-1], len(slopes), shape[-1]))
    for i, slope in enumerate(slopes):
        rows[..., i, :] = slope
    return rows


def require_positive(x: ArrayLike, names: tuple[str, ...]) -> None:
    """Raise ValueError, naming the input, unless every value is positive."""
    for name, values in zip(names, columns(x), strict=True):
        if not (values > 0).all():
            raise ValueError(f"{name} must be positive; leave out the runs where it is 0")


def product_of_grids(*grids: ArrayLike) -> Doubles:
    """Every combination of one value from each grid, (S, len(grids))."""
    mesh = np.meshgrid(*(np.atleast_1d(np.asarray(g, dtype=np.float64)) for g in grids))
    return np.stack([axis.ravel() for axis in mesh], axis=-1)
