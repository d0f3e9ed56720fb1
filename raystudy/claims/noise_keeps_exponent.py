"""Label noise moves the curve of error against size, and leaves its exponent."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import polars as pl
from pydantic import Field

from raystudy.claims.accuracies import ShotsName, clean_and_noisy
from raystudy.intervals import mean_interval
from raystudy.kinds import Claim, Verdict


class NoiseKeepsExponent(Claim):
    """Bansal et al. (2022, arXiv 2202.01994): independent noise in the data costs a constant factor
    in size, and leaves the exponent of the scaling law.

    The effect is the exponent under ``noise`` less the clean one: slopes of log error on log
    pre-training size, one difference a seed, with a 95 % t-interval. A claim of no difference is
    supported if the whole interval lies within ``margin`` of 0, and contradicted if none of it
    does. Errors near chance or near a floor have slopes of their own, whatever the noise.
    """

    task: str
    adaptation: str
    method: str
    source: str
    shots: ShotsName
    noise: str
    margin: Annotated[float, Field(gt=0)] = 0.05
    architecture: str | None = None

    @property
    def statement(self) -> str:
        return (
            f"{self.noise} noise leaves the exponent of {self.task} error in pre-training size "
            f"within {self.margin:g} of the clean one (after Bansal et al. 2022)."
        )

    def judge(self, records: pl.DataFrame) -> Verdict:
        """Raises ValueError for fewer than three sizes, or where an error is 0."""
        accuracy, sizes, seeds = clean_and_noisy(records, self, self.noise)
        errors = 100 - accuracy
        if len(sizes) < 3 or not (errors > 0).all():
            raise ValueError(f"an exponent needs three sizes and errors above 0; sizes: {sizes}")
        x = np.log(sizes) - np.log(sizes).mean()
        exponents = -np.einsum("n,anz->az", x, np.log(errors)) / (x @ x)
        effect, low, high = mean_interval(exponents[1] - exponents[0], self.coverage)
        within = -self.margin < low and high < self.margin
        without = low > self.margin or high < -self.margin
        return Verdict(
            "supported" if within else "contradicted" if without else "undecided",
            effect,
            low,
            high,
            "in the exponent",
            f"{exponents[0].mean():.3f} clean, {exponents[1].mean():.3f} {self.noise}, over sizes "
            f"{sizes[0]:,} to {sizes[-1]:,}; {len(seeds)} seeds, paired t-interval",
        )
