"""A linear head on features of all layers does as well as fine-tuning every weight."""

from __future__ import annotations

from typing import Annotated

import polars as pl
from pydantic import Field

from raystudy.claims.accuracies import ShotsName
from raystudy.claims.suite import over_suite
from raystudy.intervals import mean_interval
from raystudy.kinds import Claim, Verdict


class Head2ToeMatchesFineTuning(Claim):
    """Evci et al. (2022, arXiv 2201.03529), abstract: over a suite of tasks Head2Toe is as accurate
    as fine-tuning, on average.

    The effect is the mean of Head2Toe − fine-tuning over ``tasks``, in points: one number a seed,
    with a 95 % t-interval. It is of this suite, whose tasks weigh the same, and not of tasks like
    these. Equality cannot be shown, so "matches" means: not behind by ``margin`` points or more.
    Supported if the interval lies above −``margin``, contradicted if it lies below.
    """

    tasks: Annotated[tuple[str, ...], Field(min_length=1)]
    method: str
    margin: Annotated[float, Field(ge=0)] = 2.0
    head2toe: str = "head2toe"
    fine_tuning: str = "fine-tune"
    shots: ShotsName = "full"
    source: str | None = None
    size: int | None = None
    noise: str = "clean"
    architecture: str | None = None

    @property
    def statement(self) -> str:
        on = f" of {self.architecture}" if self.architecture else ""
        return (
            f"Over {len(self.tasks)} tasks, Head2Toe matches fine-tuning{on} on average, to within "
            f"{self.margin:g} points (Evci et al. 2022)."
        )

    def judge(self, records: pl.DataFrame) -> Verdict:
        (head, tuned), seeds = over_suite(
            records,
            self.tasks,
            [self.head2toe, self.fine_tuning],
            self.shots,
            {
                "method": self.method,
                "source": self.source,
                "size": self.size,
                "noise": self.noise,
                "architecture": self.architecture,
            },
        )
        lead = head - tuned  # (tasks, seeds)
        effect, low, high = mean_interval(lead.mean(0), self.coverage)
        of_task = sorted(zip(lead.mean(1), self.tasks, strict=True))
        (least, worst), (most, best) = of_task[0], of_task[-1]
        least_allowed = -self.margin
        supported, contradicted = low > least_allowed, high < least_allowed
        return Verdict(
            "supported" if supported else "contradicted" if contradicted else "undecided",
            effect,
            low,
            high,
            "points",
            f"Head2Toe {head.mean():.1f}, fine-tuning {tuned.mean():.1f}; {len(seeds)} seeds, "
            f"paired t-interval; ahead on {int((lead.mean(1) > 0).sum())} of {len(of_task)} tasks, "
            f"from {least:+.1f} on {worst} to {most:+.1f} on {best}",
        )
