"""What a fit's own residuals and slopes say against it: conditioning, leverage, runs of one sign.

Shapes: M runs, P parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raystudy.laws.arrays import Doubles, columns
from raystudy.laws.solver import Problem, slopes

MIN_RUNS_TEST = 8


@dataclass(frozen=True, eq=False)
class Conditioning:
    """Singular values of the Jacobian whose columns have length 1, largest first; the combination
    of parameters that is known least, as shares by name; ``number``, the largest over the least."""

    singular_values: Doubles
    weakest: dict[str, float]

    @property
    def number(self) -> float:
        least = self.singular_values[-1]
        return float(self.singular_values[0] / least) if least > 0 else float("inf")


@dataclass(frozen=True)
class ResidualCheck:
    """Of one input, in its order: how many runs of one sign the residuals make, how many chance
    would, and how likely chance makes as few (Wald and Wolfowitz 1940)."""

    input: str
    num_signs: int
    expected: float
    p_value: float


def jacobian(problem: Problem, parameters: Doubles) -> tuple[Doubles, list[int]]:
    """The slopes of weighted residuals (M, F) in the F parameters that are free, those of
    ``Law.logarithmic`` by their logarithm; and which those are."""
    law, loss = problem.law, problem.loss
    free = np.flatnonzero(problem.low != problem.high).tolist()
    with np.errstate(all="ignore"):
        f = np.asarray(law.predict(problem.x, parameters), dtype=np.float64)
        J = slopes(law, problem.x, parameters) * loss.slope(f) * np.sqrt(problem.weights[0])
    is_log = np.array([name in law.logarithmic for name in law.parameters])
    J = J * np.where(is_log, parameters, 1.0)[:, None]
    return np.nan_to_num(J[free].T, nan=0.0, posinf=0.0, neginf=0.0), free


def conditioning(problem: Problem, parameters: Doubles) -> Conditioning:
    J, free = jacobian(problem, parameters)
    length = np.linalg.norm(J, axis=0)
    unit = J / np.where(length > 0, length, 1.0)
    _, values, rows = np.linalg.svd(unit, full_matrices=False)
    names = [problem.law.parameters[i] for i in free]
    weakest = {name: float(v) for name, v in zip(names, rows[-1], strict=True) if abs(v) > 0.1}
    return Conditioning(values, weakest)


def leverage(problem: Problem, parameters: Doubles) -> Doubles:
    """How much each run pulls the curve to itself, in [0, 1], (M,)."""
    J, _ = jacobian(problem, parameters)
    left, values, _ = np.linalg.svd(J, full_matrices=False)
    return np.square(left[:, values > 1e-10 * values[0]]).sum(1)


def residual_checks(problem: Problem, parameters: Doubles) -> tuple[ResidualCheck, ...]:
    """Runs tests of the residuals along each input; none below 8 distinct x, which say nothing.

    Runs at one x count once, by their mean: seeds there are in no order.
    """
    loss = problem.loss
    curve = loss.forward(np.asarray(problem.law.predict(problem.x, parameters), dtype=np.float64))
    residuals = (loss.forward(problem.y) - curve)[problem.weights[0] > 0]
    found = []
    for name, values in zip(problem.law.inputs, columns(problem.x), strict=True):
        _, at = np.unique(values[problem.weights[0] > 0], return_inverse=True)
        means = np.bincount(at, residuals) / np.bincount(at)
        if len(means) >= MIN_RUNS_TEST:
            found.append(_runs_test(name, means))
    return tuple(found)


def _runs_test(name: str, residuals: Doubles) -> ResidualCheck:
    from scipy.special import ndtr

    above = residuals > np.median(residuals)
    ups, downs = int(above.sum()), int((~above).sum())
    signs = 1 + int((above[1:] != above[:-1]).sum())
    total = ups + downs
    expected = 1 + 2 * ups * downs / total
    variance = (expected - 1) * (expected - 2) / (total - 1)
    score = (signs + 0.5 - expected) / np.sqrt(max(variance, 1e-12))
    return ResidualCheck(name, signs, expected, float(ndtr(min(score, 8.0))))
