"""Label noise in one direction: each class is mistaken for its neighbour alone."""

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np

from raystudy.kinds import Annotations, Noise
from raystudy.noise.draws import count_classes, hits
from raystudy.spec import Rate


class Pair(Noise):
    """Class c becomes class c + 1, the last one the first, at ``rate``: "pair flipping" of Han et
    al. 2018 (Co-teaching, arXiv 1804.06872). Above one half, most labels of a class are wrong in
    the same way, and no method can tell them from right ones."""

    corrupts: ClassVar[Literal["label", "caption"]] = "label"
    rate: Rate

    @property
    def name(self) -> str:
        return f"pair-{self.rate:g}"

    @property
    def nominal_rate(self) -> float:
        return self.rate

    def corrupt(self, clean: Annotations, seed: int) -> Annotations:
        """Raises ValueError for fewer than two classes: there is no neighbour."""
        neighbours = (clean.labels + 1) % count_classes(self, clean)
        hit = hits(self, clean, self.rate, seed)
        return replace(clean, labels=np.where(hit, neighbours, clean.labels))
