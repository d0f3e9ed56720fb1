"""TransRate: how much less code the features of one class take than all of them (Huang et al. 2022,
arXiv 2106.09362). Array shapes: N examples, D features."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from raystudy.transferability.checks import Doubles, checked

DISTORTION = 1e-4


def transrate(features: ArrayLike, labels: ArrayLike, *, distortion: float = DISTORTION) -> float:
    """R(Z) − Σ_c n_c/N · R(Z_c) in nats, higher being better, where R = ½ log det(1 + ZᵀZ/(n·ε)) is
    the coding rate of n centred features at the ``distortion`` ε.

    Classes weigh by their size; the published listing, which takes them as equal, agrees where they
    are. Unchanged by rotations and shifts, but not by scale: compare backbones at features of one
    scale.

    Raises ValueError as ``transferability.checks.checked`` does, and for a distortion that is not
    positive.
    """
    if not distortion > 0:
        raise ValueError(f"distortion={distortion} must be positive")
    Z, numbers, num_classes = checked(features, labels)
    Z = Z - Z.mean(0)
    rows = [numbers == c for c in range(num_classes)]
    within = sum(r.mean() * _coding_rate(Z[r], distortion) for r in rows)
    return float(_coding_rate(Z, distortion) - within)


def _coding_rate(Z: Doubles, distortion: float) -> float:
    """ZᵀZ and ZZᵀ have the same determinant here; the smaller is the cheaper."""
    gram = Z.T @ Z if len(Z) > Z.shape[1] else Z @ Z.T
    _, log_det = np.linalg.slogdet(np.eye(len(gram)) + gram / (len(Z) * distortion))
    return 0.5 * float(log_det)
