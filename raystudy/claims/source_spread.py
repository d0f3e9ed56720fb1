"""Few shots tell pre-training sources apart; many shots hide which one it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import polars as pl

from raystudy.claims.accuracies import NO_INTERVAL, ShotsName, Tasks, accuracy_of, replicated
from raystudy.intervals import mean_interval
from raystudy.kinds import Claim, Floats, Verdict


class SourceSpreadShrinks(Claim):
    """Entezari et al. (2023), claim 1: max − min accuracy over sources falls as shots grow.

    The effect is spread(``low_shots``) − spread(``high_shots``) in points, of clean labels at one
    pre-training size. Noise alone spreads means, and few-shot accuracy is the noisier, so the
    naive difference favours the claim: with seven equal sources its bootstrap interval excludes
    zero nearly always. Two estimates bracket it, one number a seed each:

    - *held out*: the best and the worst source are chosen on the other seeds and compared on
      this one. Choosing by luck is not rewarded; a wrong choice understates a spread. Seeds that
      choose for each other are not independent, so that the standard error is no less than the
      jackknife's of their mean, each seed left out of choice and comparison alike.
    - *jackknife* (Tukey 1958): pseudo-values of max − min, which take off part of its bias.

    The interval spans the 95 % t-intervals of both; the effect is the held-out mean. One seed has
    no interval. Of several tasks read "task" for "seed": the sources are then chosen on the other
    tasks, and tasks that disagree about the best source say little for the claim.
    """

    VERSION: ClassVar[int] = 2
    task: Tasks
    adaptation: str
    method: str
    size: int
    low_shots: ShotsName = "1"
    high_shots: ShotsName = "full"
    architecture: str | None = None

    @property
    def statement(self) -> str:
        return (
            f"The spread of {accuracy_of(self.task)} over sources shrinks from {self.low_shots} "
            f"to {self.high_shots} shots (Entezari et al. 2023)."
        )

    def judge(self, records: pl.DataFrame) -> Verdict:
        accuracy, (_, sources), repeats = replicated(
            records,
            self.task,
            {
                "adaptation": self.adaptation,
                "method": self.method,
                "size": self.size,
                "noise": "clean",
                "architecture": self.architecture,
            },
            {"shots": [self.low_shots, self.high_shots], "source": None},
        )
        if len(sources) < 2:
            raise ValueError(f"a spread needs two sources or more; the records have {sources}")

        effect, *held_out = mean_interval(_held_out(accuracy), self.coverage)
        about, *ends = mean_interval(_jackknife(accuracy, _mean_held_out), self.coverage)
        together = [effect + end - about for end in ends]
        _, *jackknife = mean_interval(_jackknife(accuracy, _shrinkage), self.coverage)
        low = min(held_out[0], together[0], jackknife[0])
        high = max(held_out[1], together[1], jackknife[1])
        before, after = _spreads(accuracy)
        how = "; span of held-out and jackknife t-intervals" if np.isfinite(low) else NO_INTERVAL
        return Verdict(
            "supported" if low > 0 else "contradicted" if high < 0 else "undecided",
            effect,
            low,
            high,
            "points",
            f"max − min of means: {before:.1f} at {self.low_shots}, {after:.1f} at "
            f"{self.high_shots} shots; {len(sources)} sources, {repeats}" + how,
        )


def _spreads(accuracy: Floats) -> Floats:
    """max − min over sources of seed means: (shots 2, sources, seeds) to (2,)."""
    return np.ptp(accuracy.mean(-1), axis=1)


def _held_out(accuracy: Floats) -> Floats:
    """spread(low) − spread(high) on each seed, of the sources that the others chose; (seeds,)."""
    num_seeds = accuracy.shape[-1]
    if num_seeds == 1:
        return -np.diff(_spreads(accuracy))
    others = (accuracy.sum(-1, keepdims=True) - accuracy) / (num_seeds - 1)
    best = np.take_along_axis(accuracy, others.argmax(1)[:, None], axis=1)
    worst = np.take_along_axis(accuracy, others.argmin(1)[:, None], axis=1)
    low, high = (best - worst)[:, 0]
    return low - high


def _mean_held_out(accuracy: Floats) -> float:
    return float(_held_out(accuracy).mean())


def _shrinkage(accuracy: Floats) -> float:
    """spread(low) − spread(high)."""
    low, high = _spreads(accuracy)
    return float(low - high)


def _jackknife(accuracy: Floats, statistic: Callable[[Floats], float]) -> Floats:
    """Pseudo-values of a statistic, (seeds,)."""
    num_seeds = accuracy.shape[-1]
    whole = statistic(accuracy)
    if num_seeds == 1:
        return np.array([whole])
    without = [statistic(np.delete(accuracy, seed, axis=-1)) for seed in range(num_seeds)]
    return num_seeds * whole - (num_seeds - 1) * np.array(without)
