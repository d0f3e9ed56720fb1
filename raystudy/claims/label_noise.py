"""Corrupted labels or captions cost downstream accuracy, at every pre-training size."""

from __future__ import annotations

from typing import ClassVar

import polars as pl

from raystudy.claims.accuracies import ShotsName, clean_and_noisy
from raystudy.intervals import mean_interval
from raystudy.kinds import Claim, Verdict


class NoiseHurtsAtEverySize(Claim):
    """Clean beats ``noise`` at each size: the controlled version of a question that
    Entezari et al. (2023) ask of the natural noise of web captions.

    Differences clean − noisy are paired by seed, with a 95 % t-interval at each size. Supported
    if all intervals lie above 0, which needs no correction for many sizes; contradicted if any
    lies below, there made wider for the number of sizes (Bonferroni), because one of them is
    enough. The effect is the smallest mean difference, among the sizes that contradict if there
    are any.
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
            f"{self.noise} noise lowers {self.task} accuracy at every pre-training size "
            "(after Entezari et al. 2023)."
        )

    def judge(self, records: pl.DataFrame) -> Verdict:
        accuracy, sizes, seeds = clean_and_noisy(records, self, self.noise)
        lost = accuracy[0] - accuracy[1]  # (sizes, seeds)
        intervals = [mean_interval(of_size, self.coverage) for of_size in lost]
        wider = 1 - (1 - self.coverage) / len(sizes)
        against = [i for i in (mean_interval(of_size, wider) for of_size in lost) if i[2] < 0]
        effect, low, high = min(against or intervals)
        supported = all(i[1] > 0 for i in intervals)
        lines = (
            f"{size:,}: {mean:+.1f} ({a:+.1f} … {b:+.1f})"
            for size, (mean, a, b) in zip(sizes, intervals, strict=True)
        )
        return Verdict(
            "supported" if supported else "contradicted" if against else "undecided",
            effect,
            low,
            high,
            "points",
            f"clean − {self.noise} by size, {len(seeds)} seeds: " + "; ".join(lines),
        )
