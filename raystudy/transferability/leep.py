"""LEEP: the log-likelihood of labels read off a source model's classes (Nguyen et al. 2020, arXiv
2002.12462). Array shapes: N examples, Z source classes, C classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from raystudy.transferability.checks import checked, class_sums


def leep(source_probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Mean log Σ_z P(y_i | z)·θ_iz with θ (N, Z) the source model's probabilities and P(y | z)
    estimated from the same examples; in (−∞, 0], higher being better.

    Raises ValueError as ``transferability.checks.checked`` does, and for rows that are no
    probabilities.
    """
    theta, numbers, num_classes = checked(source_probabilities, labels)
    if theta.min() < 0 or np.abs(theta.sum(1) - 1).max() > 1e-3:
        raise ValueError("source probabilities must not be negative and sum to 1 in each row")
    joint = class_sums(theta, numbers, num_classes)
    given = np.divide(joint, joint.sum(0), out=np.zeros_like(joint), where=joint.sum(0) > 0)
    return float(np.mean(np.log(np.einsum("nz,nz->n", given[numbers], theta))))
