"""The H-score: how much of the features' variance lies between classes (Bao et al. 2019)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from raystudy.transferability.checks import checked, class_sums

NEGLIGIBLE = 1e-10


def h_score(features: ArrayLike, labels: ArrayLike, *, shrinkage: bool = False) -> float:
    """tr(cov(f)⁺ · cov(E[f | y])), in [0, min(C − 1, D)], higher being better.

    Directions whose variance is below 1e-10 of the largest count as none. With N ≤ D it is all but
    C − 1 for any features, for covariances then fit the sample: ``shrinkage`` regularises them
    (Ledoit and Wolf 2004) and scales the covariance of class means alike (Ibrahim et al. 2021,
    arXiv 2110.06893). Unchanged by rotation, shift and scale of the features; without shrinkage by
    any invertible linear map.

    Raises ValueError as ``transferability.checks.checked`` does.
    """
    F, numbers, num_classes = checked(features, labels)
    F = F - F.mean(0)
    sizes = np.bincount(numbers)
    means = class_sums(F, numbers, num_classes) / sizes[:, None]
    kept = 1.0
    if shrinkage:
        from sklearn.covariance import ledoit_wolf  # here: it takes a second to import

        covariance, amount = ledoit_wolf(F, assume_centered=True)
        kept = 1 - amount
    else:
        covariance = F.T @ F / len(F)
    variances, directions = np.linalg.eigh(covariance)
    real = variances > NEGLIGIBLE * variances[-1]
    if not real.any():
        return 0.0
    along = means @ directions[:, real]
    return float(kept * (sizes / len(F)) @ (along**2 / variances[real]).sum(1))
