"""An example of one source is worth many of another: curated labels against captions of the web."""

from __future__ import annotations

import math
from typing import Annotated

import polars as pl
from pydantic import Field

from raystudy.claims.accuracies import NO_INTERVAL, ShotsName
from raystudy.kinds import Claim, Verdict
from raystudy.laws.multiplier import MultiplierStatus, data_multiplier
from raystudy.laws.power import OffsetPower
from raystudy.laws.status import FitError


class WorthMoreData(Claim):
    """Entezari et al. (2023), claim 3: of LAION 15 to 2,000 times as much data is needed as
    supervised pre-training has of ImageNet.

    The effect is how many times the size of the better arm's largest pre-training the worse arm
    needs to come as far, read off the worse arm's fitted curve (``laws.multiplier``), within its
    sizes only: where they all fall short it is a bound, "at least". Its 95 % interval resamples
    seeds; one seed has none. Supported if the interval lies at or above ``at_least``, contradicted
    if below.
    """

    task: str
    adaptation: str
    better_method: str
    better_source: str
    worse_method: str
    worse_source: str
    shots: ShotsName = "full"
    at_least: Annotated[float, Field(gt=0)] = 1.0
    architecture: str | None = None

    @property
    def statement(self) -> str:
        return (
            f"It takes {self.at_least:g} times as much {self.worse_source} data by "
            f"{self.worse_method}, or more, to match {self.better_method} {self.better_source} on "
            f"{self.task} at {self.shots} shots (after Entezari et al. 2023)."
        )

    def judge(self, records: pl.DataFrame) -> Verdict:
        better = self._runs(records, self.better_method, self.better_source)
        worse = self._runs(records, self.worse_method, self.worse_source)
        try:
            arms = _arm(worse), _arm(better)
            found = data_multiplier(OffsetPower(), *arms, coverage=self.coverage)
        except FitError as refusal:
            raise ValueError(str(refusal)) from refusal
        effect, low, high = (_inverse(v) for v in (found.value, found.high, found.low))
        seeds = better["seed"].n_unique()
        if seeds == 1:
            low, high = -math.inf, math.inf
        own, sizes = int(better["size"][-1]), worse["size"]  # sorted by size
        words = {
            MultiplierStatus.MEASURED: f"as far as {effect * own:,.0f} examples",
            MultiplierStatus.NOT_REACHED: f"further than {sizes[-1]:,} examples, all there are",
            MultiplierStatus.AT_LEAST: f"less far than {sizes[0]:,} examples",
        }
        number = "one seed" + NO_INTERVAL if seeds == 1 else f"{seeds} seeds"
        bound = {MultiplierStatus.NOT_REACHED: " or more", MultiplierStatus.AT_LEAST: " or less"}
        return Verdict(
            "supported"
            if low >= self.at_least
            else "contradicted"
            if high < self.at_least
            else "undecided",
            effect,
            low,
            high,
            "times" + bound.get(found.status, ""),
            f"{own:,} of {self.better_source} lead {words[found.status]} of "
            f"{self.worse_source}; {number}",
        )

    def _runs(self, records: pl.DataFrame, method: str, source: str) -> pl.DataFrame:
        wanted = {
            "metric": "accuracy",
            "split": "test",
            "task": self.task,
            "adaptation": self.adaptation,
            "shots": self.shots,
            "noise": "clean",
            "method": method,
            "source": source,
        }
        if self.architecture is not None:
            wanted["architecture"] = self.architecture
        rows = records.filter(pl.col(name) == value for name, value in wanted.items())
        if rows.is_empty():
            raise ValueError(
                "no test accuracy for " + ", ".join(f"{k} {v}" for k, v in wanted.items())
            )
        if rows.select("size", "seed").is_duplicated().any():
            raise ValueError(
                f"{method} {source} has several accuracies at one size and seed; name the "
                "architecture in the claim"
            )
        return rows.sort("size", "seed")


def _arm(rows: pl.DataFrame) -> tuple:
    return rows["size"].to_numpy(), 1 - rows["value"].to_numpy(), rows["seed"].to_numpy()


def _inverse(value: float) -> float:
    return math.inf if value == 0 else 1 / value
