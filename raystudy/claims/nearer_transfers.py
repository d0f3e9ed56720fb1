"""The nearer pre-training lies to the task, the less its worth grows with fine-tuning data."""

from __future__ import annotations

import numpy as np
import polars as pl

from raystudy.kinds import Claim, Verdict
from raystudy.laws.status import FitError
from raystudy.laws.transfer_law import difference, transfer_law
from raystudy.transfer import measured_arms


class NearerHasSmallerExponent(Claim):
    """Hernandez et al. (2021, arXiv 2102.01293): in D_T = k·D_F^α·N^β, α is smaller after
    pre-training that is nearer to the task: 0.096 after text and code, 0.18 after text alone, for
    Python.

    The effect is α of ``near`` less that of ``far``, each fitted to the points that were measured
    in low data. Its interval is Student's over the whole study made again without each seed, and
    spans that of D_E read between straight lines, so that it does not hang on the form of a curve.
    Supported where it lies below 0, contradicted where above.
    """

    task: str
    near: str
    """A source, as is ``far``."""
    far: str
    adaptation: str | None = None
    """None: the only one that was run from scratch too."""
    method: str | None = None

    @property
    def statement(self) -> str:
        return (
            f"What pre-training is worth for {self.task} grows less with fine-tuning data after "
            f"{self.near} than after {self.far}: its exponent α is smaller (after Hernandez et al. "
            "2021)."
        )

    def judge(self, records: pl.DataFrame) -> Verdict:
        """Raises ValueError where a law cannot be fitted, saying what it would take."""
        measured = measured_arms(
            records,
            self.task,
            (self.near, self.far),
            adaptation=self.adaptation,
            method=self.method,
            coverage=self.coverage,
        )
        try:
            near, far = (transfer_law(measured, arm) for arm in (self.near, self.far))
        except FitError as refusal:
            raise ValueError(str(refusal)) from refusal
        found = difference(near, far, "alpha", self.coverage)
        return Verdict(
            "supported" if found.high < 0 else "contradicted" if found.low > 0 else "undecided",
            found.value,
            found.low,
            found.high,
            "in α",
            f"α {near.parameter('alpha')[0]:.3g} from {len(near.used)} points after {self.near}, "
            f"{far.parameter('alpha')[0]:.3g} from {len(far.used)} after {self.far}; a difference "
            f"of {found.by_lines:+.3g} by straight lines; {measured.num_seeds} seeds, each left "
            "out in turn",
            freedom=measured.num_seeds - 1 if np.isfinite(found.low) else None,
        )
