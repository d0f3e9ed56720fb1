"""Which model is adapted moves accuracy out of distribution more than how."""

from __future__ import annotations

import numpy as np
import polars as pl

from raystudy.claims.accuracies import ShotsName
from raystudy.intervals import mean_interval
from raystudy.kinds import Claim, Verdict
from raystudy.outcomes import MODEL, outcomes


class ModelOverAdaptation(Claim):
    """Naganuma et al. (2023, arXiv 2307.08187), abstract: the choice of the pre-trained model moves
    accuracy out of distribution more than the choice of the algorithm.

    The effect is the standard deviation over models (of means over adaptations) less that over
    adaptations (of means over models), in points of accuracy out of distribution, means over tasks:
    one number a seed, with a 95 % t-interval. It is of these models and these adaptations.
    Supported if the interval lies above zero, contradicted if it lies below.
    """

    shots: ShotsName = "full"

    @property
    def statement(self) -> str:
        return (
            "Which model is adapted moves accuracy out of distribution more than how it is adapted "
            "(Naganuma et al. 2023)."
        )

    def judge(self, records: pl.DataFrame) -> Verdict:
        """Raises ValueError unless all models were adapted in two ways."""
        if "role" not in records.columns:
            raise ValueError("needs backbones of two architectures")
        table = outcomes(records).filter(shots=self.shots)
        if table.is_empty():
            raise ValueError(f"no task has accuracies in and out of distribution at {self.shots}")
        seeds = table["seed"].unique().sort().to_list()
        lead, over_models, over_ways = [], [], []
        for seed in seeds:
            means = (
                table.filter(seed=seed)
                .group_by("adaptation", *MODEL, maintain_order=True)
                .agg(pl.col("ood_accuracy").mean())
                .pivot("adaptation", index=MODEL, values="ood_accuracy")
                .drop_nulls()
            )
            grid = 100 * means.drop(MODEL).to_numpy()
            if grid.ndim != 2 or grid.shape[0] < 2 or grid.shape[1] < 2:
                raise ValueError(
                    f"seed {seed} at {self.shots} shots has {grid.shape[0]} models that were "
                    f"adapted in all of {grid.shape[1]} ways; run two of each, or more"
                )
            over_models.append(grid.mean(1).std(ddof=1))
            over_ways.append(grid.mean(0).std(ddof=1))
            lead.append(over_models[-1] - over_ways[-1])
        effect, low, high = mean_interval(lead)
        return Verdict(
            "supported" if low > 0 else "contradicted" if high < 0 else "undecided",
            effect,
            low,
            high,
            "points",
            f"standard deviation {np.mean(over_models):.1f} points over models, "
            f"{np.mean(over_ways):.1f} over adaptations; {len(seeds)} seeds",
        )
