"""Which model is adapted moves accuracy out of distribution more than how."""

from __future__ import annotations

from itertools import combinations
from typing import ClassVar

import numpy as np
import polars as pl

from raystudy.claims.accuracies import ShotsName
from raystudy.intervals import mean_interval
from raystudy.kinds import Claim, Floats, Verdict
from raystudy.outcomes import MODEL, outcomes


class ModelOverAdaptation(Claim):
    """Naganuma et al. (2023, arXiv 2307.08187), abstract: the choice of the pre-trained model moves
    accuracy out of distribution more than the choice of the algorithm.

    The effect is the standard deviation over models (of means over adaptations) less that over
    adaptations (of means over models), in points of accuracy out of distribution, means over tasks.
    It is of these models and these adaptations. Supported if the interval lies above zero,
    contradicted if it lies below.

    Noise spreads means as well, and more so those of models, each a mean over fewer runs: within a
    seed, fifteen models that are all the same lie further apart than four adaptations that are. So
    variances are estimated across seeds, from products of what two of them say of one model, in
    which noise has mean zero. The interval is Student's over jackknife pseudo-values of the
    difference of the variances (Tukey 1958), over the sum of the deviations. It takes three seeds.
    """

    VERSION: ClassVar[int] = 2
    shots: ShotsName = "full"

    @property
    def statement(self) -> str:
        return (
            "Which model is adapted moves accuracy out of distribution more than how it is adapted "
            "(Naganuma et al. 2023)."
        )

    def judge(self, records: pl.DataFrame) -> Verdict:
        """Raises ValueError unless all models were adapted in two ways, the same in every seed."""
        if "role" not in records.columns:
            raise ValueError("needs backbones of two architectures")
        table = outcomes(records).filter(shots=self.shots)
        if table.is_empty():
            raise ValueError(f"no task has accuracies in and out of distribution at {self.shots}")
        accuracy = self._accuracies(table)
        seeds, models, ways = accuracy.shape
        if models < 2 or ways < 2:
            raise ValueError(
                f"at {self.shots} shots {models} models were adapted in all of {ways} ways with "
                f"every one of {seeds} seeds; run two of each, or more"
            )
        over_models, over_ways = accuracy.mean(2), accuracy.mean(1)  # (seeds, levels) each
        spread, other = (_variance(means) ** 0.5 for means in (over_models, over_ways))
        effect, low, high = spread - other, -np.inf, np.inf
        if seeds > 2:
            _, *ends = mean_interval(_jackknife(over_models) - _jackknife(over_ways), self.coverage)
            low, high = np.array(ends) / max(spread + other, 1e-9)
        return Verdict(
            "supported" if low > 0 else "contradicted" if high < 0 else "undecided",
            effect,
            float(low),
            float(high),
            "points",
            f"standard deviation {spread:.1f} points over {models} models, {other:.1f} over {ways} "
            f"adaptations, without the noise of seeds; {seeds} seeds",
        )

    def _accuracies(self, table: pl.DataFrame) -> Floats:
        """Points out of distribution (seeds, models, adaptations), of models that have them all."""
        means = table.group_by(*MODEL, "seed", "adaptation").agg(pl.col("ood_accuracy").mean())
        place = pl.concat_str("seed", "adaptation", separator=" ")
        grid = means.with_columns(place=place).pivot("place", index=MODEL, values="ood_accuracy")
        grid = grid.drop_nulls().sort(MODEL)
        seeds, ways = means["seed"].unique().sort(), means["adaptation"].unique().sort()
        columns = [f"{seed} {way}" for seed in seeds for way in ways]
        if missing := set(columns) - set(grid.columns):
            raise ValueError(f"no model has the cells of seed {sorted(missing)[0]}; run them")
        values = 100 * grid.select(columns).to_numpy().reshape(len(grid), len(seeds), len(ways))
        return values.transpose(1, 0, 2)


def _variance(means: Floats) -> float:
    """The variance over levels of ``means`` (seeds, levels), without the noise of seeds: the mean
    over pairs of seeds of their covariance, 0 where it is negative. Of one seed, its own."""
    return max(_covariance(means), 0.0)


def _covariance(means: Floats) -> float:
    around = means - means.mean(1, keepdims=True)
    pairs = list(combinations(range(len(means)), 2)) or [(0, 0)]
    return float(np.mean([around[s] @ around[t] for s, t in pairs]) / (means.shape[1] - 1))


def _jackknife(means: Floats) -> Floats:
    """Pseudo-values of the covariance, (seeds,)."""
    num_seeds = len(means)
    without = [_covariance(np.delete(means, seed, axis=0)) for seed in range(num_seeds)]
    return num_seeds * _covariance(means) - (num_seeds - 1) * np.array(without)
