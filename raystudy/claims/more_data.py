"""More pre-training data helps, and helps most where labelled examples are few."""

from __future__ import annotations

import polars as pl

from raystudy.claims.accuracies import NO_INTERVAL, ShotsName, Tasks, accuracy_of, replicated
from raystudy.intervals import mean_interval
from raystudy.kinds import Claim, Verdict


class MoreDataHelpsFewShotMost(Claim):
    """Entezari et al. (2023), claim 4: the gain from the smallest to the largest pre-training
    size is larger at ``low_shots`` than at ``high_shots``.

    The effect is the difference of the two gains in points, paired by seed, with a 95 %
    t-interval; or by task, of several. It says nothing of which sizes lie between.
    """

    task: Tasks
    adaptation: str
    method: str
    source: str
    low_shots: ShotsName = "1"
    high_shots: ShotsName = "full"
    sizes: tuple[int, int] | None = None
    """The smallest and the largest; None: of those in the ledger."""
    noise: str = "clean"
    architecture: str | None = None

    @property
    def statement(self) -> str:
        return (
            f"More {self.source} data raises {accuracy_of(self.task)} more at "
            f"{self.low_shots} than at {self.high_shots} shots (Entezari et al. 2023)."
        )

    def judge(self, records: pl.DataFrame) -> Verdict:
        accuracy, (_, sizes), repeats = replicated(
            records,
            self.task,
            {
                "adaptation": self.adaptation,
                "method": self.method,
                "source": self.source,
                "noise": self.noise,
                "architecture": self.architecture,
            },
            {"shots": [self.low_shots, self.high_shots], "size": self.sizes},
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
            f"{repeats}" + (", paired t-interval" if accuracy.shape[-1] > 1 else NO_INTERVAL),
        )
