"""LogME: the evidence of the labels under a linear model of the features (You et al. 2021, arXiv
2102.11005; You et al. 2022, arXiv 2110.10545). Array shapes: N examples, D features, C classes,
K = min(N, D)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from raystudy.transferability.checks import Doubles, checked, one_hot

DECADES = 12
"""The ratio of noise to weights searched lies within this many decades of the largest squared
singular value, both ways; labels that are exactly linear in the features are scored at the end."""
NUM_GRID, NUM_HALVINGS = 97, 32


def logme(features: ArrayLike, labels: ArrayLike) -> float:
    """Mean over classes of log p(y | features)/N at the best prior, higher being better.

    Each class's indicator y is a linear model of the features with weights N(0, 1/α) and noise
    N(0, 1/β). The papers iterate α and β to a fixed point, which is a stationary point of the
    evidence; here the best β given λ = α/β has a closed form, and λ is searched along a line, which
    finds the highest. No bias: constant features are as the backbone gives them. Unchanged by
    rotations and by a common scale of the features.

    Raises ValueError as ``transferability.checks.checked`` does.
    """
    F, numbers, num_classes = checked(features, labels)
    Y_NC = one_hot(numbers, num_classes)
    s2_K, z2_KC = _spectrum(F, Y_NC)
    outside_C = np.maximum(Y_NC.sum(0) - z2_KC.sum(0), 0)  # of |y|², what no weights reach

    def evidence(log_ratio_GC: Doubles) -> Doubles:
        """(G, C), without constants, where the noise has its best size."""
        noise = np.exp(log_ratio_GC)[..., None]
        kept = noise / (noise + s2_K)
        residual = np.einsum("gck,kc->gc", np.broadcast_to(kept, _full(kept, z2_KC)), z2_KC)
        return (np.log(kept).sum(-1) - len(F) * np.log((residual + outside_C) / len(F))) / 2

    scale = np.log(s2_K.max()) if s2_K.max() > 0 else 0.0
    reach = DECADES * np.log(10)
    grid = np.linspace(scale - reach, scale + reach, NUM_GRID)[:, None]
    best = grid[evidence(grid).argmax(0), 0]
    around = 2 * reach / (NUM_GRID - 1) * np.array([[-1.0], [0.0], [1.0]])
    for _ in range(NUM_HALVINGS):
        around /= 2
        tried = np.clip(best + around, scale - reach, scale + reach)
        best = tried[evidence(tried).argmax(0), np.arange(num_classes)]
    highest = evidence(best[None])[0]
    return float(np.mean(highest / len(F)) - (1 + np.log(2 * np.pi)) / 2)


def _spectrum(F: Doubles, Y_NC: Doubles) -> tuple[Doubles, Doubles]:
    """Squared singular values of F (K,), and squared coordinates of each class's indicator in its
    left singular vectors (K, C)."""
    if len(F) <= F.shape[1]:
        s2_K, U = np.linalg.eigh(F @ F.T)
        return np.maximum(s2_K, 0), (U.T @ Y_NC) ** 2
    s2_K, V = np.linalg.eigh(F.T @ F)
    s2_K = np.where(s2_K > 1e-13 * s2_K[-1], s2_K, 0)
    onto = (V.T @ (F.T @ Y_NC)) ** 2
    return s2_K, np.divide(onto, s2_K[:, None], out=np.zeros_like(onto), where=s2_K[:, None] > 0)


def _full(kept_GCK: Doubles, z2_KC: Doubles) -> tuple[int, int, int]:
    return len(kept_GCK), z2_KC.shape[1], len(z2_KC)
