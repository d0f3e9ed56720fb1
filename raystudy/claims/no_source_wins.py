"""Which pre-training source is best depends on the task."""

from __future__ import annotations

import numpy as np
import polars as pl

from raystudy.claims.accuracies import NO_INTERVAL, ShotsName, accuracies
from raystudy.intervals import mean_interval
from raystudy.kinds import Claim, Floats, Verdict


class NoSourceWinsEverywhere(Claim):
    """Entezari et al. (2023), claim 2: every source is beaten on one of ``tasks`` or more.

    A source's worst case is the task on which another leads it by most, judged by the lower end of
    the paired 95 % t-interval over seeds; the effect is that lead, in points, of the source with
    the best worst case. Each lead is the largest of (sources − 1) × tasks, so the intervals are
    Bonferroni's for that many. Supported if every source is clearly beaten somewhere, contradicted
    if one clearly leads all others on every task.
    """

    tasks: tuple[str, ...]
    adaptation: str
    method: str
    size: int
    shots: ShotsName
    architecture: str | None = None

    @property
    def statement(self) -> str:
        return (
            f"No source is best at {self.shots} shots on all of {', '.join(self.tasks)} "
            "(Entezari et al. 2023)."
        )

    def judge(self, records: pl.DataFrame) -> Verdict:
        accuracy, (sources, _, seeds) = accuracies(
            records,
            {
                "adaptation": self.adaptation,
                "method": self.method,
                "size": self.size,
                "noise": "clean",
                "shots": self.shots,
                "architecture": self.architecture,
            },
            {"source": None, "task": list(self.tasks), "seed": None},
        )
        if len(sources) < 2:
            raise ValueError(f"needs two sources or more; the records have {sources}")
        tests = (len(sources) - 1) * len(self.tasks)
        wider = 1 - (1 - self.coverage) / tests
        worst = [_worst(accuracy, i, wider) for i in range(len(sources))]
        nearest = min(range(len(sources)), key=lambda i: worst[i][0])
        effect, low, high = worst[nearest]
        best = [sources[i] for i in accuracy.mean(-1).argmax(0)]
        winners = ", ".join(f"{t}: {s}" for t, s in zip(self.tasks, best, strict=True))
        beaten = min(low for _, low, _ in worst)
        leads = any(high < 0 for _, _, high in worst)
        number = "one seed" + NO_INTERVAL if len(seeds) == 1 else f"{len(seeds)} seeds"
        return Verdict(
            "supported" if beaten > 0 else "contradicted" if leads else "undecided",
            effect,
            low,
            high,
            "points",
            f"best by mean: {winners}; {sources[nearest]} comes nearest to winning all, and is led "
            f"by {effect:+.1f} at worst; {number}",
        )


def _worst(accuracy: Floats, source: int, coverage: float) -> tuple[float, float, float]:
    """By how much the others lead ``source`` where they lead by most: the largest mean, the largest
    lower end and the largest upper end over others and tasks. ``accuracy`` (sources, tasks, seeds).
    """
    leads = np.delete(accuracy, source, axis=0) - accuracy[source]
    intervals = np.array([mean_interval(lead, coverage) for task in leads for lead in task])
    mean, low, high = intervals.max(0)
    return float(mean), float(low), float(high)
