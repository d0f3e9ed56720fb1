"""A share r of wrong labels costs more than the share r of the examples."""

from __future__ import annotations

import numpy as np
import polars as pl

from raystudy.claims.accuracies import ShotsName, accuracies
from raystudy.intervals import mean_interval
from raystudy.kinds import Claim, Verdict
from raystudy.laws.fit import fit
from raystudy.laws.noisy_size import NoisySize


class NoiseCostsMoreThanItsExamples(Claim):
    """n examples of which a share r has a wrong label are worth n·(1 − r)^q clean ones
    (``raystudy.laws.noisy_size``): with q = 1 a wrong label is as good as none, with q > 1 it does
    harm.

    The effect is q − 1: the law is fitted to all sizes and rates of each seed alone, with a 95 %
    t-interval over seeds. Supported if it lies above 0, contradicted if below.
    """

    task: str
    adaptation: str
    method: str
    source: str
    shots: ShotsName
    noises: tuple[str, ...]
    architecture: str | None = None

    @property
    def statement(self) -> str:
        listed = ", ".join(self.noises)
        return (
            f"A wrong label does more harm to {self.task} accuracy than its example is worth "
            f"({listed})."
        )

    def judge(self, records: pl.DataFrame) -> Verdict:
        """Raises ValueError where the law cannot be fitted to a seed."""
        place = {
            "task": self.task,
            "adaptation": self.adaptation,
            "method": self.method,
            "source": self.source,
            "shots": self.shots,
            "architecture": self.architecture,
        }
        noises = ["clean", *self.noises]
        axes = {"noise": noises, "size": None, "seed": None}
        accuracy, (_, sizes, _seeds) = accuracies(records, place, axes)
        rate_of = dict(records.select("noise", "noise_rate").unique().iter_rows())
        rates = [rate_of[noise] for noise in noises]
        r, n = (axis.ravel() for axis in np.meshgrid(rates, sizes, indexing="ij"))
        costs = []
        for of_seed in np.moveaxis(accuracy, 2, 0):
            table = {"n": n, "r": r, "y": 1 - of_seed.ravel() / 100}
            costs.append(fit(table, NoisySize(), num_resamples=0).parameter("q")[0])
        effect, low, high = mean_interval(np.array(costs) - 1, self.coverage)
        return Verdict(
            "supported" if low > 0 else "contradicted" if high < 0 else "undecided",
            effect,
            low,
            high,
            "in q",
            f"n examples with a share r of wrong labels count as n·(1 − r)^{1 + effect:.1f} clean "
            f"ones; q of each seed: {', '.join(f'{q:.1f}' for q in costs)}",
        )
