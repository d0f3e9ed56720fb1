"""Caption noise by mismatch: a good caption of another image."""

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np

from raystudy.kinds import Annotations, Noise
from raystudy.noise.draws import annotated, hits, targets
from raystudy.spec import Rate


class ShuffledCaptions(Noise):
    """A hit example gets the clean caption of an earlier one, drawn uniformly: the mismatched pairs
    of Huang et al. 2021 (Learning with Noisy Correspondence for Cross-modal Matching, NeurIPS).

    Not a permutation, as there: to permute the captions of those hit, all of them must be known, so
    that another rate or size would change what each gets. An earlier example is there at every
    size. In return captions early in the order are used more often, the k-th of N about
    rate · ln(N / k) times beside its own; the order is random, so this favours no kind of caption.
    The very first example has none before it and keeps its own. Where captions repeat, some get the
    text they had, and the realised rate falls short of ``rate``.
    """

    corrupts: ClassVar[Literal["label", "caption"]] = "caption"
    rate: Rate

    @property
    def name(self) -> str:
        return f"shuffled-captions-{self.rate:g}"

    @property
    def nominal_rate(self) -> float:
        return self.rate

    def corrupt(self, clean: Annotations, seed: int) -> Annotations:
        captioned = annotated(clean, "caption")
        donors = np.flatnonzero(captioned)
        num_earlier = np.cumsum(captioned) - captioned
        rows = np.flatnonzero(hits(self, clean, self.rate, seed) & (num_earlier > 0))
        places = np.floor(targets(clean, seed)[rows] * num_earlier[rows]).astype(np.int64)
        captions = list(clean.captions)
        for row, donor in zip(rows, donors[places], strict=True):
            captions[row] = clean.captions[int(donor)]
        return replace(clean, captions=captions)
