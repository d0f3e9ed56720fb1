"""The rate that a corruption came to, beside the nominal one."""

from typing import Literal

import numpy as np

from raystudy.kinds import Annotations
from raystudy.noise.draws import annotated


def realised_rate(
    clean: Annotations, noisy: Annotations, corrupts: Literal["label", "caption"]
) -> float:
    """The share of the labels, or captions, that differ: of those there are, and 0 if none are."""
    present = annotated(clean, corrupts)
    if not present.any():
        return 0.0
    if corrupts == "label":
        differs = clean.labels != noisy.labels
    else:
        pairs = zip(clean.captions, noisy.captions, strict=True)
        differs = np.fromiter((a != b for a, b in pairs), bool, len(clean.ids))
    return float(np.mean(differs[present]))
