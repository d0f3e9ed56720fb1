"""Label noise, pure in (example id, seed) and nested across rates.

An example is corrupted when its own draw falls below the rate, and what it is corrupted *to* is a
second draw of its own. So what is corrupted at 0.3 is corrupted at 0.6 too, to the same label.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from raystudy.kinds import Integers, Noise
from raystudy.randomness import uniform
from raystudy.spec import Rate


class Symmetric(Noise):
    """Uniform over the other classes, at ``rate`` (Patrini et al. 2017, arXiv 1609.03683)."""

    corrupts: ClassVar[Literal["label", "caption"]] = "label"
    rate: Rate

    @property
    def name(self) -> str:
        return f"symmetric-{self.rate:g}"

    @property
    def nominal_rate(self) -> float:
        return self.rate

    def labels(self, ids: Sequence[str], labels: Integers, num_classes: int, seed: int) -> Integers:
        """Raises ValueError for fewer than two classes: there is no other label to move to."""
        if num_classes < 2:
            raise ValueError(f"{self.name}: needs two classes or more, not {num_classes}")
        hit = uniform(seed, "noise/hit", ids) < self.rate
        shift = 1 + np.floor(uniform(seed, "noise/to", ids) * (num_classes - 1)).astype(np.int64)
        return np.where(hit, (labels + shift) % num_classes, labels)


def realised_rate(clean: Integers, noisy: Integers) -> float:
    """The share of labels that differ."""
    return float(np.mean(clean != noisy)) if len(clean) else 0.0
