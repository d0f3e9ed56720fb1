"""Mean corruption error: errors under corruption, against those of a reference model (Hendrycks and
Dietterich 2019, arXiv 1903.12261)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

Errors = Mapping[str, Sequence[float]]
"""Corruption → error rate in [0, 1] at each severity, in one order."""


def mean_corruption_error(errors: Errors, reference: Errors) -> float:
    """mCE: mean over corruptions of Σ_s E_s / Σ_s E_s of the reference model; 1 is as bad as that.

    For ImageNet-C the published reference is AlexNet. Raises ValueError unless both have the same
    corruptions and severities, rates in [0, 1], and the reference an error in each.
    """
    return _mean_ratio(_sums(errors, reference, 0.0), _sums(reference, errors, 0.0))


def relative_corruption_error(
    errors: Errors, clean: float, reference: Errors, reference_clean: float
) -> float:
    """Relative mCE: likewise of what corruption adds to the error on clean images,
    Σ_s (E_s − E_clean). Raises ValueError likewise, also where corruption adds nothing to the
    reference's error."""
    ours = _sums(errors, reference, clean)
    return _mean_ratio(ours, _sums(reference, errors, reference_clean))


def _mean_ratio(ours: Mapping[str, float], theirs: Mapping[str, float]) -> float:
    for name, value in theirs.items():
        if value <= 0:
            raise ValueError(f"the reference loses nothing to '{name}', so no error is relative")
    return float(np.mean([ours[name] / theirs[name] for name in ours]))


def _sums(errors: Errors, others: Errors, clean: float) -> dict[str, float]:
    if not errors or errors.keys() != others.keys():
        odd = sorted(errors.keys() ^ others.keys())
        raise ValueError(f"both models need errors of the same corruptions, at least one: {odd}")
    for name, values in errors.items():
        rates = np.array([*values, clean])
        if len(values) != len(others[name]) or len(values) == 0:
            raise ValueError(f"'{name}' has {len(values)} and {len(others[name])} severities")
        if not ((rates >= 0) & (rates <= 1)).all():
            raise ValueError(f"errors of '{name}' are not all in [0, 1]: {rates.tolist()}")
    return {name: float(np.sum(values)) - clean * len(values) for name, values in errors.items()}
