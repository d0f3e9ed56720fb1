"""Larger models make more of what they were pre-trained on."""

from __future__ import annotations

import numpy as np
import polars as pl

from raystudy.kinds import Claim, Verdict
from raystudy.laws.status import FitError
from raystudy.laws.transfer_law import effect_of, transfer_law
from raystudy.transfer import measured_arms


class TransferGrowsWithSize(Claim):
    """Hernandez et al. (2021, arXiv 2102.01293): D_T = k·D_F^α·N^β with β = 0.38, so that a larger
    model is worth fine-tuning data.

    The effect is β. Its interval is Student's over the whole study made again without each seed,
    and spans that of D_E read between straight lines, so that it does not hang on the form of a
    curve.
    Supported where it lies above 0, contradicted where below.
    """

    task: str
    source: str
    adaptation: str | None = None
    """None: the only one that was run from scratch too."""
    method: str | None = None

    @property
    def statement(self) -> str:
        return (
            f"Pre-training on {self.source} is worth more data of {self.task} to larger models: "
            "the exponent β is above 0 (after Hernandez et al. 2021)."
        )

    def judge(self, records: pl.DataFrame) -> Verdict:
        """Raises ValueError where the law cannot be fitted, saying what it would take."""
        measured = measured_arms(
            records,
            self.task,
            (self.source,),
            adaptation=self.adaptation,
            method=self.method,
            coverage=self.coverage,
        )
        try:
            law = transfer_law(measured, self.source)
        except FitError as refusal:
            raise ValueError(str(refusal)) from refusal
        found = effect_of(law, "beta", self.coverage)
        sizes = sorted({point.N for point in law.used})
        return Verdict(
            "supported" if found.low > 0 else "contradicted" if found.high < 0 else "undecided",
            found.value,
            found.low,
            found.high,
            "in β",
            f"{len(law.used)} points over {len(sizes)} model sizes, {sizes[0]:,.0f} to "
            f"{sizes[-1]:,.0f} parameters; {found.by_lines:+.3g} by straight lines; "
            f"{measured.num_seeds} seeds, each left out in turn",
            freedom=measured.num_seeds - 1 if np.isfinite(found.low) else None,
        )
