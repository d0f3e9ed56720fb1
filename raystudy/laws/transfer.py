"""Effective data transferred, over a whole study: model sizes, arms of pre-training, fine-tuning
data and paired seeds.

Each setting's D_E is where the from-scratch curve of the same model size has the fine-tuned loss,
and D_T = D_E − D_F (Hernandez et al. 2021, arXiv 2102.01293). A seed draws the same examples for
both, so intervals leave out whole seeds (``raystudy.laws.jackknife``): curves, means, readings and
the law are made again without each.

Shapes: M runs, S seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raystudy.intervals import COVERAGE
from raystudy.kinds import Integers
from raystudy.laws.arrays import Doubles
from raystudy.laws.jackknife import student_interval, without_each
from raystudy.laws.scratch_curve import ScratchCurve, scratch_curves
from raystudy.laws.status import FitError
from raystudy.laws.transferred import Reading, Transferred, judged

SCRATCH = ""
"""The arm of models that were not pre-trained."""
LOOSE = 1.15
"""A factor between two readings of D_E."""


@dataclass(frozen=True, eq=False)
class TransferRuns:
    """One task, learnt from D_F (M,) of its examples by models of N (M,) parameters, with an arm of
    pre-training (M,) each, ``SCRATCH`` for none: its test loss (M,) by seed (M,)."""

    arm: np.ndarray
    N: Doubles
    D_F: Doubles
    seed: Integers
    loss: Doubles

    def take(self, rows: np.ndarray) -> TransferRuns:
        of = self.arm[rows], self.N[rows], self.D_F[rows], self.seed[rows], self.loss[rows]
        return TransferRuns(*of)


@dataclass(frozen=True, eq=False)
class Point:
    """One setting: what pre-training was worth there.

    ``loss`` is (mean, low, high) over seeds. ``left_out`` (S,) is D_E without each seed, 0 or inf
    where it is out of reach. ``interpolated`` is D_E as straight lines between the means of the
    curve have it, nan beyond them, and ``interpolated_left_out`` (S,) that without each seed.
    """

    arm: str
    N: float
    worth: Transferred
    loss: tuple[float, float, float]
    left_out: Doubles
    interpolated: float
    interpolated_left_out: Doubles

    @property
    def D_F(self) -> float:
        return self.worth.D_F

    @property
    def form_matters(self) -> float:
        """The factor between D_E and how straight lines have it, at least 1; 1 where they end."""
        ratio = self.interpolated / self.worth.D_E[0]
        return float(np.exp(abs(np.log(ratio)))) if np.isfinite(ratio) else 1.0

    @property
    def is_loose(self) -> bool:
        """Whether another run from scratch between those about D_E would be worth its cost."""
        return self.worth.reading is Reading.MEASURED and self.form_matters > LOOSE

    @property
    def obstacle(self) -> str:
        """Why it has no say in the law; empty if it has."""
        if self.worth.reading is Reading.AT_LEAST:
            return "D_E is beyond the from-scratch runs"
        if self.worth.reading is Reading.AT_MOST:
            return "D_E is short of the from-scratch runs"
        if self.worth.low_data is False:
            return "not low data"
        if not self.worth.D_T[0] > 0:
            return "nothing transferred (D_T ≤ 0), which has no logarithm"
        return ""


@dataclass(frozen=True, eq=False)
class Transfer:
    """What was measured: a curve from scratch for each N, and the points of every arm."""

    curves: dict[float, ScratchCurve]
    points: tuple[Point, ...]
    num_seeds: int
    coverage: float

    @cached_property
    def arms(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(point.arm for point in self.points))

    def of(self, arm: str) -> tuple[Point, ...]:
        return tuple(point for point in self.points if point.arm == arm)


def transfer(runs: TransferRuns, *, coverage: float = COVERAGE) -> Transfer:
    """Read every fine-tuned setting off the from-scratch curve of its model size.

    Raises FitError where a model size has too few from-scratch runs for a curve.
    """
    names, seed = np.unique(runs.seed, return_inverse=True)
    counts = without_each(len(names))
    scratch = runs.arm == SCRATCH
    if not scratch.any() or scratch.all():
        raise FitError("transfer takes runs from scratch and runs that were pre-trained")
    tuned = ~scratch
    if missing := sorted(set(runs.N[tuned]) - set(runs.N[scratch])):
        raise FitError(f"{missing[0]:,.0f} parameters: nothing was run from scratch")
    of_size = scratch & np.isin(runs.N, runs.N[tuned])
    rows, of_rows = runs.take(of_size), seed[of_size]
    curves = scratch_curves(rows.D_F, rows.N, rows.loss, of_rows, counts)
    points = []
    for arm in dict.fromkeys(runs.arm[tuned].tolist()):
        for n in np.unique(runs.N[runs.arm == arm]):
            for size in np.unique(runs.D_F[(runs.arm == arm) & (n == runs.N)]):
                own = (runs.arm == arm) & (n == runs.N) & (size == runs.D_F)
                weights = counts[:, seed[own]]
                points.append(
                    _point(arm, float(n), float(size), runs.loss[own], weights, curves[n], coverage)
                )
    return Transfer(curves, tuple(points), len(names), coverage)


def _point(
    arm: str,
    n: float,
    D_F: float,
    losses: Doubles,
    weights: Doubles,
    curve: ScratchCurve,
    coverage: float,
) -> Point:
    """``weights`` (S + 1, runs): all of them, then without each seed."""
    with np.errstate(invalid="ignore"):
        means = np.exp(weights @ np.log(losses) / weights.sum(1))  # as the curve weighs them
    low, high = student_interval(np.log(means[0]), np.log(means[1:]), coverage)
    value, without = curve.size_at(float(means[0])), curve.sizes_without(means[1:])
    D_E, reading = _bounded(value, without, curve, coverage)
    return Point(
        arm,
        n,
        judged(D_F, D_E, reading, curve.D_N),
        (float(means[0]), float(np.exp(low)), float(np.exp(high))),
        without,
        curve.interpolated(float(means[0])),
        curve.interpolated_without(means[1:]),
    )


def _bounded(
    value: float, without: Doubles, curve: ScratchCurve, coverage: float
) -> tuple[tuple[float, float, float], Reading]:
    """D_E with its interval: Student's on the logarithm where it was measured; where it was not, a
    bound, and as far on this side of it as any seed's absence takes it."""
    smallest, largest = float(curve.sizes[0]), float(curve.sizes[-1])
    if 0 < value < np.inf:
        with np.errstate(divide="ignore"):
            low, high = student_interval(np.log(value), np.log(without), coverage)
        return (value, float(np.exp(low)), float(np.exp(high))), Reading.MEASURED
    known = without[np.isfinite(without)]
    if value == 0:
        top = max([smallest, *known]) if len(without) else np.inf
        return (smallest, 0.0, float(top)), Reading.AT_MOST
    bottom = min([largest, *known]) if len(without) else 0.0
    return (largest, float(bottom), np.inf), Reading.AT_LEAST
