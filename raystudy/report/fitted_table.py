"""Anybody's table as arms with laws: what ``raystudy fit`` prints and draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from raystudy.kinds import Law
from raystudy.laws.between import multiplier_between
from raystudy.laws.compare import Standing, compare
from raystudy.laws.fit import fit
from raystudy.laws.status import FitError
from raystudy.report.law_arms import FRACTION, LawArm, Words, law_arm
from raystudy.report.multiplier_bars import Pair


@dataclass(frozen=True)
class FittedTable:
    """The law of each arm; what those lack that have none; data multipliers of the best arm over
    the others; and how other forms stand, by arm."""

    arms: Sequence[LawArm]
    refused: Mapping[str, str]
    pairs: Sequence[Pair]
    standings: Mapping[str, Sequence[Standing]]
    words: Words


def fitted_table(
    tables: Mapping[str, pl.DataFrame],
    law: Law,
    x: Sequence[str],
    y: str,
    *,
    others: Sequence[Law] = (),
    fraction: float = FRACTION,
    **options: Any,
) -> FittedTable:
    """Fit ``law`` to each of ``tables`` (arm → runs), columns ``x`` in the order of its inputs.

    ``others`` are compared with it on each arm; ``options`` are those of ``raystudy.laws.fit.fit``.
    Raises FitError where no arm can be fitted.
    """
    arms: list[LawArm] = []
    refused: dict[str, str] = {}
    for name, runs in tables.items():
        try:
            arms.append(law_arm(name, fit(runs, law, x=list(x), y=y, **options), fraction))
        except FitError as refusal:
            refused[name] = str(refusal)
    if not arms:
        named = (f"{name}: {why}" if len(refused) > 1 else why for name, why in refused.items())
        raise FitError("; ".join(named))
    loss = options.get("loss") or law.loss
    standings = {
        arm.name: compare(
            tables[arm.name],
            others,
            list(x),
            y,
            weights=options.get("weights"),
            loss=loss,
            fraction=fraction,
        )
        for arm in arms
        if others
    }
    return FittedTable(arms, refused, multipliers(arms), standings, Words(tuple(x), y))


def multipliers(arms: Sequence[LawArm]) -> list[Pair]:
    """What the data of the arm of least mean at its largest size is worth in each other's; none
    for laws of several inputs."""
    if len(arms) < 2 or len(arms[0].fit.law.inputs) > 1:
        return []
    best = min(arms, key=_mean_at_largest)
    found = []
    for arm in arms:
        if arm is best:
            continue
        try:
            found.append(Pair(best.name, arm.name, multiplier_between(best.fit, arm.fit)))
        except FitError as refusal:
            found.append(Pair(best.name, arm.name, None, str(refusal)))
    return found


def _mean_at_largest(arm: LawArm) -> float:
    size = arm.x[:, 0]
    return float(np.mean(arm.y[size == size.max()]))
