"""Few shots tell pre-training sources apart; many shots hide which one it was."""

from __future__ import annotations

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
      this one. Choosing by luck is not rewarded; a wrong choice understates a spread. Where the
      choice differs between seeds, what is held out depends on the rest through it: the interval is
      widened by √(1 + S/(S − 1)) for S seeds (Nadeau and Bengio 2003), without which equal sources
      would be taken for spread ones in 7 of 100 studies of six seeds, and 10 of nine.
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

        effect, *held_out = _held_out(accuracy)
        _, *jackknife = mean_interval(_jackknife(accuracy))
        low, high = min(held_out[0], jackknife[0]), max(held_out[1], jackknife[1])
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


def _held_out(accuracy: Floats) -> tuple[float, float, float]:
    """spread(low) − spread(high) on each seed, of the sources that the others chose: its mean over
    seeds and 95 % interval."""
    num_seeds = accuracy.shape[-1]
    if num_seeds == 1:
        return mean_interval(-np.diff(_spreads(accuracy)))
    others = (accuracy.sum(-1, keepdims=True) - accuracy) / (num_seeds - 1)
    chosen = np.stack([others.argmax(1), others.argmin(1)])  # (2, shots 2, seeds)
    best, worst = (np.take_along_axis(accuracy, rows[:, None], axis=1)[:, 0] for rows in chosen)
    few, many = best - worst
    mean, low, high = mean_interval(few - many)
    differs = (chosen != chosen[..., :1]).any()
    widened = np.sqrt(1 + num_seeds / (num_seeds - 1)) if differs else 1.0
    return mean, mean - widened * (mean - low), mean + widened * (high - mean)


def _jackknife(accuracy: Floats) -> Floats:
    """Pseudo-values of spread(low) − spread(high), (seeds,)."""
    num_seeds = accuracy.shape[-1]
    whole = -np.diff(_spreads(accuracy))
    if num_seeds == 1:
        return whole
    without = [_spreads(np.delete(accuracy, seed, axis=-1)) for seed in range(num_seeds)]
    return num_seeds * whole - (num_seeds - 1) * np.array([low - high for low, high in without])
