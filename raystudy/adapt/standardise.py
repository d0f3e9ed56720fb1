"""Features on one scale."""

import numpy as np
from numpy.typing import NDArray

from raystudy.kinds import Floats

Doubles = NDArray[np.float64]


def centre_and_scale(features_NxD: Floats) -> tuple[Doubles, Doubles]:
    """What to subtract and to divide by, (D,) each, so that these features have mean zero and
    deviation one. A feature that hardly varies among a few shots is scaled as if it varied a tenth
    as much as the others: it may be silent in the support and loud elsewhere, and would drown the
    rest.

    Raises ValueError for features that are not finite.
    """
    require_finite(features_NxD)
    mean = features_NxD.mean(0, dtype=np.float64)
    deviation = features_NxD.std(0, dtype=np.float64)
    floor = 0.1 * np.sqrt(np.mean(deviation**2)) + 1e-12
    return mean, np.maximum(deviation, floor)


def unit(x_NxD: Doubles) -> Doubles:
    """Rows of length one; a row of zeros stays one."""
    return x_NxD / np.maximum(np.linalg.norm(x_NxD, axis=1, keepdims=True), 1e-30)


def require_finite(features_NxD: Floats) -> None:
    """Raises ValueError for training features that are not finite."""
    broken = np.flatnonzero(~np.isfinite(features_NxD).all(0))
    if len(broken):
        raise ValueError(
            f"{len(broken)} of {features_NxD.shape[1]} features are not finite in the training "
            "examples: this backbone has diverged"
        )
