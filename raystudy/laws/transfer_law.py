"""The law of transfer, fitted to what was measured: D_T = k·D_F^α·N^β, one arm at a time.

The points are no data: each was read off a fitted curve, with the same seeds as its neighbours. So
the law's intervals are those of the whole study, made again without each seed, and never of points
as if they were exact.

Shapes: K points, S seeds, P parameters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raystudy.intervals import COVERAGE
from raystudy.laws.arrays import Doubles
from raystudy.laws.effective_data import EffectiveData
from raystudy.laws.fit import fit
from raystudy.laws.fitted import Fit
from raystudy.laws.jackknife import student_interval
from raystudy.laws.status import FitError, FitStatus
from raystudy.laws.transfer import Point, Transfer

LAW = EffectiveData()
ENOUGH_SEEDS = 5
FORM_MATTERS = 1.25
NARROW = 10.0
"""A factor between smallest and largest below which an exponent is a guess."""


@dataclass(frozen=True, eq=False)
class TransferLaw:
    """``fit`` of the points that have a say (``used``); ``left_out`` (S, P), its parameters without
    each seed; ``limits``, what keeps it from being known better. ``lines`` (S + 1, P) are those of
    D_E read between straight lines, which take no form for granted: of all, then without each seed.
    """

    arm: str
    fit: Fit
    left_out: Doubles
    lines: Doubles
    used: tuple[Point, ...]
    limits: tuple[str, ...]
    coverage: float = COVERAGE

    @property
    def status(self) -> FitStatus:
        weak = self.fit.status is FitStatus.FINE and bool(self.limits)
        return FitStatus.WEAK if weak else self.fit.status

    def parameter(self, name: str) -> tuple[float, float, float]:
        """(value, low, high), of k on its logarithm. Raises ValueError for another name."""
        names = self.fit.law.parameters
        if name not in names:
            raise ValueError(f"{self.fit.law.name} has no parameter '{name}'; it has {list(names)}")
        i = names.index(name)
        value, without = self.fit.parameters[i], self.left_out[:, i]
        if name in self.fit.law.logarithmic:
            low, high = student_interval(np.log(value), np.log(without), self.coverage)
            return float(value), float(np.exp(low)), float(np.exp(high))
        low, high = student_interval(value, without, self.coverage)
        return float(value), float(low), float(high)

    def predict(self, D_F: Doubles, N: float) -> tuple[Doubles, Doubles, Doubles]:
        """D_T at ``D_F`` (K,) examples for models of ``N`` parameters: (value, low, high)."""
        x = np.stack([D_F, np.full(len(D_F), N)], axis=1)
        value = np.asarray(self.fit.law.predict(x, self.fit.parameters), dtype=np.float64)
        without = np.asarray(self.fit.law.predict(x, self.left_out), dtype=np.float64)
        low, high = student_interval(np.log(value), np.log(without), self.coverage)
        return value, np.exp(low), np.exp(high)

    @property
    def centre(self) -> tuple[float, float]:
        """(D_F, N) in the middle of the points, where the law is known best."""
        D_F, N = (np.exp(np.mean(np.log(v))) for v in zip(*_places(self.used), strict=True))
        return float(D_F), float(N)


def transfer_law(measured: Transfer, arm: str) -> TransferLaw:
    """The law of one arm. Raises FitError, saying what it would take, where its points cannot tell
    the parameters."""
    points = measured.of(arm)
    used = tuple(point for point in points if not point.obstacle)
    places = np.array(_places(used), dtype=np.float64).reshape(-1, 2)
    for i, what in enumerate(("amounts of fine-tuning data", "model sizes")):
        if len(np.unique(places[:, i])) < 2:
            raise FitError(
                f"{arm}: a law takes points at two {what} or more, and {_count(used)} "
                f"measured in low data{_left_out(points)}"
            )
    if np.linalg.matrix_rank(_design(places)) < len(LAW.parameters):
        raise FitError(f"{arm}: model size and fine-tuning data change together; cross them")
    D_T = np.array([point.worth.D_T[0] for point in used])
    found = fit(None, LAW, x=places, y=D_T, num_resamples=0)
    without = np.stack([point.left_out for point in used], axis=1) - places[:, 0]
    left_out = np.array([_solved(places, row) for row in without]).reshape(-1, len(LAW.parameters))
    limits = _limits(measured, points, used, places, without)
    between = [np.append(p.interpolated, p.interpolated_left_out) - p.D_F for p in used]
    lines = np.array([_solved(places, row) for row in np.stack(between, axis=1)])
    return TransferLaw(arm, found, left_out, lines, used, limits, measured.coverage)


@dataclass(frozen=True)
class Effect:
    """A number of laws, as curves and as straight lines have it, and the span of both intervals: no
    verdict is to hang on the form of a curve."""

    value: float
    low: float
    high: float
    by_lines: float


def effect_of(law: TransferLaw, name: str, coverage: float) -> Effect:
    """A parameter, of α and β."""
    i = law.fit.law.parameters.index(name)
    return _spanned(law.fit.parameters[i], law.left_out[:, i], law.lines[:, i], coverage)


def difference(a: TransferLaw, b: TransferLaw, name: str, coverage: float) -> Effect:
    """A parameter of ``a`` less that of ``b``; seeds are paired."""
    i = a.fit.law.parameters.index(name)
    value = a.fit.parameters[i] - b.fit.parameters[i]
    left_out = a.left_out[:, i] - b.left_out[:, i]
    return _spanned(value, left_out, a.lines[:, i] - b.lines[:, i], coverage)


def _spanned(value: float, left_out: Doubles, lines: Doubles, coverage: float) -> Effect:
    ends = [student_interval(value, left_out, coverage)]
    if np.isfinite(lines).all():  # else straight lines do not reach, and have no say
        ends.append(student_interval(lines[0], lines[1:], coverage))
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    return Effect(float(value), float(low), float(high), float(lines[0]))


def _solved(places: Doubles, D_T: Doubles) -> Doubles:
    """Least squares on logarithms of the points (K,) that are above 0 and within reach; nan where
    these do not tell the parameters. (P,)"""
    known = np.isfinite(D_T) & (D_T > 0)
    design = _design(places[known])
    if np.linalg.matrix_rank(design) < len(LAW.parameters):
        return np.full(len(LAW.parameters), np.nan)
    log_k, alpha, beta = np.linalg.lstsq(design, np.log(D_T[known]), rcond=None)[0]
    return np.array([np.exp(log_k), alpha, beta])


def _design(places: Doubles) -> Doubles:
    return np.column_stack([np.ones(len(places)), np.log(places)])


def _places(points: Sequence[Point]) -> list[tuple[float, float]]:
    return [(point.D_F, point.N) for point in points]


def _limits(
    measured: Transfer,
    points: Sequence[Point],
    used: Sequence[Point],
    places: Doubles,
    without: Doubles,
) -> tuple[str, ...]:
    found = []
    if len(used) < len(points):
        found.append(f"{len(used)} of {len(points)} points have a say{_left_out(points)}")
    for i, what in enumerate(("fine-tuning data spans", "model size spans")):
        span = places[:, i].max() / places[:, i].min()
        if span < NARROW:
            found.append(f"{what} a factor of {span:.2g}")
    if measured.num_seeds == 1:
        found.append("one seed gives no interval; run more seeds")
    elif measured.num_seeds < ENOUGH_SEEDS:
        found.append(f"{measured.num_seeds} seeds, so that intervals are wide")
    if lost := int((~(np.isfinite(without) & (without > 0))).any(0).sum()):
        found.append(f"{lost} points are lost without one seed or another")
    if all(point.worth.low_data is None for point in used):
        found.append("no from-scratch curve shows where it ends, so that low data is not told")
    if (worst := max(point.form_matters for point in used)) > FORM_MATTERS:
        found.append(f"D_E depends on the form of the curve by up to ×{worst:.2g}")
    return tuple(found)


def _left_out(points: Sequence[Point]) -> str:
    reasons = Counter(point.obstacle for point in points if point.obstacle)
    told = "; ".join(f"{number}: {reason}" for reason, number in reasons.items())
    return f" ({told})" if told else ""


def _count(points: Sequence[Point]) -> str:
    return "none was" if not points else "one was" if len(points) == 1 else f"{len(points)} were"
