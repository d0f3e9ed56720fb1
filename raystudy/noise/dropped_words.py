"""Caption noise by omission: words are missing."""

from dataclasses import replace
from itertools import compress
from typing import ClassVar, Literal

import numpy as np

from raystudy.kinds import Annotations, Noise
from raystudy.noise.draws import hits
from raystudy.noise.words import words_of
from raystudy.spec import Rate


class DroppedWords(Noise):
    """A hit caption loses each of its words with probability ``share``, but never the last one:
    "random deletion" of Wei and Zou 2019 (EDA, arXiv 1901.11196).

    What is dropped at one share is dropped at a larger one too, save the word that is kept for want
    of others. Words are what white space parts, so a caption in a script without spaces is one word
    and stays. Where a hit caption loses nothing, the realised rate falls short of ``rate``.
    """

    corrupts: ClassVar[Literal["label", "caption"]] = "caption"
    rate: Rate
    share: Rate = 0.5

    @property
    def name(self) -> str:
        return f"dropped-words-{self.rate:g}x{self.share:g}"

    @property
    def nominal_rate(self) -> float:
        return self.rate

    def corrupt(self, clean: Annotations, seed: int) -> Annotations:
        captions = list(clean.captions)
        rows = np.flatnonzero(hits(self, clean, self.rate, seed))
        for row, words, (draws,) in words_of(clean, rows, seed, "noise/word"):
            least = min(self.share, max(draws))
            kept = [draw >= least for draw in draws]
            if not all(kept):
                captions[row] = " ".join(compress(words, kept))
        return replace(clean, captions=captions)
