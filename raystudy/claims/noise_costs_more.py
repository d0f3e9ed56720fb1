"""A share r of wrong labels costs more than the share r of the examples."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import polars as pl

from raystudy.claims.accuracies import ShotsName, clean_and_noisy
from raystudy.kinds import Claim, Verdict
from raystudy.laws.fit import FitError
from raystudy.laws.multiplier import data_multiplier
from raystudy.laws.power import OffsetPower


class NoiseCostsMoreThanItsExamples(Claim):
    """Clean data is worth m times noisy data at the largest size (``raystudy.laws.multiplier``). If
    a wrong label were as good as none, m would be 1/(1 − r); a wrong label that does harm costs
    more.

    The effect is m·(1 − r), with the 95 % interval of m from resampling paired seeds. Supported if
    it lies above 1, contradicted if below. Only the clean curve is fitted, and read within its
    sizes: beyond them m is a bound. Of the noisy runs only those of the largest size count: a curve
    through all of them, whose floor cannot be below 0, ends too high by 2 % of the size.
    """

    VERSION: ClassVar[int] = 2
    task: str
    adaptation: str
    method: str
    source: str
    shots: ShotsName
    noise: str
    architecture: str | None = None

    @property
    def statement(self) -> str:
        return (
            f"A wrong label does more harm to {self.task} accuracy than its example is worth "
            f"({self.noise})."
        )

    def judge(self, records: pl.DataFrame) -> Verdict:
        """Raises ValueError where the clean curve cannot be fitted."""
        accuracy, sizes, seeds = clean_and_noisy(records, self, self.noise)
        kept = 1 - float(records.filter(noise=self.noise)["noise_rate"][0])
        errors = 1 - accuracy / 100
        n, s = np.meshgrid(sizes, seeds, indexing="ij")
        clean = n.ravel(), errors[0].ravel(), s.ravel()
        noisy = n[-1], errors[1][-1], s[-1]
        try:
            worth = data_multiplier(OffsetPower(), clean, noisy, coverage=self.coverage)
        except FitError as refusal:
            raise ValueError(f"the clean curve: {refusal}") from refusal
        effect, low, high = (kept * value for value in (worth.value, worth.low, worth.high))
        return Verdict(
            "supported" if low > 1 else "contradicted" if high < 1 else "undecided",
            effect,
            low,
            high,
            "times its examples",
            f"clean data is worth {worth.text} of {self.noise} data at {sizes[-1]:,} examples; "
            f"without the wrong ones it would be ×{1 / kept:.2g}; {len(seeds)} seeds",
        )
