"""What the last layer lost, Head2Toe finds: it gains where pre-training suits a task least."""

from __future__ import annotations

from itertools import permutations
from typing import Annotated

import numpy as np
import polars as pl
from pydantic import Field

from raystudy.claims.accuracies import ShotsName
from raystudy.claims.suite import from_scratch, over_suite
from raystudy.kinds import Claim, Floats, Verdict
from raystudy.randomness import generator

NUM_RESAMPLES = 4000


class Head2ToeGainsWhereAffinityIsLow(Claim):
    """Evci et al. (2022, arXiv 2201.03529): Head2Toe's gain over a linear probe is the larger, the
    lower a task's *domain affinity*, which is the accuracy of a linear probe less that of training
    the same network from scratch.

    The effect is how many points the gain rises for each ten points that the affinity falls, by
    least squares over ``tasks``. The probe's accuracy enters both with opposite signs, so that its
    noise alone would make a gain fall with affinity: each task is therefore seen once for every
    two seeds, with the affinity of one and the gain of the other. (What the seeds share, the test
    images, stays; it is a hundredth of the spread of affinities.) Noise of affinity makes the
    slope smaller, never larger.

    The interval is Student's with tasks − 2 degrees of freedom, about the standard error of
    resampled tasks, each with two seeds at random. Percentiles of the same resamples are too narrow
    for so few tasks: they exclude zero in up to 16 % of suites without any such relation.
    """

    tasks: Annotated[tuple[str, ...], Field(min_length=4)]
    method: str
    head2toe: str = "head2toe"
    linear_probe: str = "linear-probe"
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
            f"Over {len(self.tasks)} tasks, Head2Toe gains more over a linear probe{on} where "
            "domain affinity is lower (Evci et al. 2022)."
        )

    def judge(self, records: pl.DataFrame) -> Verdict:
        (probe, head), seeds = over_suite(
            records,
            self.tasks,
            [self.linear_probe, self.head2toe],
            self.shots,
            {
                "method": self.method,
                "source": self.source,
                "size": self.size,
                "noise": self.noise,
                "architecture": self.architecture,
            },
        )
        scratch = from_scratch(
            records, self.tasks, self.fine_tuning, self.shots, self.architecture, seeds
        )
        affinity, gain = probe - scratch, head - probe  # (tasks, seeds)
        slope, half = _slope(affinity, gain, self.coverage)
        effect, low, high = (-10 * v for v in (slope, slope + half, slope - half))
        lowest, highest = (self.tasks[i] for i in affinity.mean(1).argsort()[[0, -1]])
        of = dict(zip(self.tasks, zip(affinity.mean(1), gain.mean(1), strict=True), strict=True))
        return Verdict(
            "supported" if low > 0 else "contradicted" if high < 0 else "undecided",
            effect,
            low,
            high,
            "points per 10 of affinity",
            f"gain {of[lowest][1]:+.1f} on {lowest} (affinity {of[lowest][0]:+.1f}), "
            f"{of[highest][1]:+.1f} on {highest} ({of[highest][0]:+.1f}); {len(self.tasks)} tasks, "
            f"{len(seeds)} seeds; t-interval over resampled tasks and seeds",
        )


def _slope(affinity: Floats, gain: Floats, coverage: float) -> tuple[float, float]:
    """How the gain changes with affinity, both (tasks T, seeds S), and half of the interval's
    width: infinite for one seed, whose noise is in both."""
    num_tasks, num_seeds = affinity.shape
    if num_seeds == 1:
        return float(_least_squares(affinity.T, gain.T)[0]), np.inf
    from scipy.special import stdtrit  # here, so that importing raystudy stays fast

    one, other = np.array(list(permutations(range(num_seeds), 2))).T
    slope = float(_least_squares(affinity[:, one].reshape(1, -1), gain[:, other].reshape(1, -1))[0])
    rng = generator(0, "head2toe gains", num_tasks, num_seeds)
    task = rng.integers(num_tasks, size=(NUM_RESAMPLES, num_tasks))
    pair = rng.integers(len(one), size=(NUM_RESAMPLES, num_tasks))
    slopes = _least_squares(affinity[task, one[pair]], gain[task, other[pair]])
    error = slopes[np.isfinite(slopes)].std(ddof=1)
    return slope, float(stdtrit(num_tasks - 2, (1 + coverage) / 2) * error)


def _least_squares(x: Floats, y: Floats) -> Floats:
    """Slopes of ``y`` (B, N) over ``x`` (B, N); NaN where a row of ``x`` holds under three values,
    through which any line goes."""
    x = x - x.mean(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        slopes = (x * y).sum(-1) / (x * x).sum(-1)
    distinct = 1 + (np.diff(np.sort(x)) > 1e-9).sum(-1)
    return np.where(distinct < 3, np.nan, slopes)
