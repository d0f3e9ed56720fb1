"""Label noise that knows nothing: any other class is as likely as the next."""

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np

from raystudy.kinds import Annotations, Noise
from raystudy.noise.draws import count_classes, hits, other_class, targets
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

    def corrupt(self, clean: Annotations, seed: int) -> Annotations:
        """Raises ValueError for fewer than two classes: there is no other label to move to."""
        others = other_class(clean.labels, count_classes(self, clean), targets(clean, seed))
        hit = hits(self, clean, self.rate, seed)
        return replace(clean, labels=np.where(hit, others, clean.labels))
