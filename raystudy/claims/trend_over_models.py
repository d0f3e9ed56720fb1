"""Larger models, or models that learnt from more, do better out of distribution."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl

from raystudy.claims.accuracies import ShotsName
from raystudy.intervals import mean_interval
from raystudy.kinds import Claim, Verdict
from raystudy.outcomes import MODEL, outcomes

Against = Literal["parameters", "size"]
Of = Literal["ood_accuracy", "ood_ece"]
AXES: dict[Against, str] = {"parameters": "architecture", "size": "size"}
WORDS: dict[Against, str] = {
    "parameters": "Larger models",
    "size": "Models that learnt from more examples",
}
BETTER: dict[Of, tuple[str, str, float]] = {
    "ood_accuracy": ("are more accurate", "accuracy", 1.0),
    "ood_ece": ("are better calibrated", "ECE", -1.0),
}


class TrendOverModels(Claim):
    """Naganuma et al. (2023, arXiv 2307.08187), section 4: larger models and larger pre-training
    sets are more accurate and better calibrated out of distribution.

    The effect is a least-squares slope in points a doubling, with an intercept for each task and
    each setting of the other axes of a model, so that like is compared with like: one slope a seed,
    with a 95 % t-interval, of these models. Supported if the interval lies on the side that the
    claim says, contradicted if on the other.
    """

    against: Against
    of: Of = "ood_accuracy"
    adaptation: str
    shots: ShotsName = "full"

    @property
    def statement(self) -> str:
        better = BETTER[self.of][0]
        return f"{WORDS[self.against]} {better} out of distribution (Naganuma et al. 2023)."

    def judge(self, records: pl.DataFrame) -> Verdict:
        """Raises ValueError where no two models differ in this axis alone."""
        if "role" not in records.columns:
            raise ValueError("needs backbones of two architectures")
        metric = self.of.removeprefix("ood_")
        table = outcomes(records, (metric,)).filter(
            pl.col("method") != "none", adaptation=self.adaptation, shots=self.shots
        )
        others = ["task", *(axis for axis in MODEL if axis != AXES[self.against])]
        slopes = []
        for _, own in table.group_by("seed", maintain_order=True):
            x = pl.col(self.against).log(2)
            centred = own.with_columns(
                x=x - x.mean().over(others),
                y=100 * (pl.col(self.of) - pl.col(self.of).mean().over(others)),
            )
            dx, dy = centred["x"].to_numpy(), centred["y"].to_numpy()
            if not np.abs(dx).max(initial=0.0) > 0:
                raise ValueError(
                    f"no two models under {self.adaptation} differ in {AXES[self.against]} alone; "
                    "run another"
                )
            slopes.append(float(dx @ dy / (dx @ dx)))
        if not slopes:
            raise ValueError(f"no {self.of} under {self.adaptation} at {self.shots} shots")
        effect, low, high = mean_interval(slopes, self.coverage)
        sign = BETTER[self.of][2]
        supported, contradicted = (low > 0, high < 0) if sign > 0 else (high < 0, low > 0)
        models = table.select(MODEL).n_unique()
        return Verdict(
            "supported" if supported else "contradicted" if contradicted else "undecided",
            effect,
            low,
            high,
            "points a doubling",
            f"{BETTER[self.of][1]} of {models} models on {table['task'].n_unique()} tasks under "
            f"{self.adaptation}; {len(slopes)} seeds",
        )
