"""More pre-training data helps, and helps most where labelled examples are few."""

from __future__ import annotations

import polars as pl

from raystudy.claims.accuracies import ShotsName, accuracies
from raystudy.intervals import mean_interval
from raystudy.kinds import Claim, Verdict


class MoreDataHelpsFewShotMost(Claim):
    """Entezari et al. (2023), claim 4: the gain from the smallest to the largest pre-training
    size is larger at ``low_shots`` than at ``high_shots``.

    The effect is the difference of the two gains in points, paired by seed, with a 95 %
    t-interval. It says nothing of which sizes lie between.
    """

    task: str
    adaptation: str
    method: str
    source: str
    low_shots: ShotsName = "1"
    high_shots: ShotsName = "full"
    noise: str = "clean"
    architecture: str | None = None

    @property
    def statement(self) -> str:
        return (
            f"More {self.source} data raises {self.task} accuracy more at {self.low_shots} than "
            f"at {self.high_shots} shots (Entezari et al. 2023)."
        )

    def judge(self, records: pl.DataFrame) -> Verdict:
        accuracy, (_, sizes, seeds) = accuracies(
            records,
            {
                "task": self.task,
                "adaptation": self.adaptation,
                "method": self.method,
                "source": self.source,
                "noise": self.noise,
                "architecture": self.architecture,
            },
            {"shots": [self.low_shots, self.high_shots], "size": None, "seed": None},
        )
        if len(sizes) < 2:
            raise ValueError(f"a gain needs two sizes or more; the records have {sizes}")
        gain_low, gain_high = accuracy[:, -1] - accuracy[:, 0]
        effect, low, high = mean_interval(gain_low - gain_high, self.coverage)
        return Verdict(
            "supported" if low > 0 else "contradicted" if high < 0 else "undecided",
            effect,
            low,
            high,
            "points",
            f"gain from {sizes[0]:,} to {sizes[-1]:,}: {gain_low.mean():+.1f} at "
            f"{self.low_shots}, {gain_high.mean():+.1f} at {self.high_shots} shots; "
            f"{len(seeds)} seeds, paired t-interval",
        )
