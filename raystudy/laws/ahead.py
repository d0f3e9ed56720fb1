"""Which of two arms is ahead, and how surely: the question that a multiplier's side of 1 answers.

A multiplier itself is no good for this: it jumps to 0 or infinity where curves miss each other. The
distance between the curves at the largest size that both reach is smooth, and of the same sign.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raystudy.intervals import COVERAGE, mean_interval
from raystudy.kinds import Law
from raystudy.laws.fit import FitError, check_runs, run_weights, solve_weighted
from raystudy.laws.multiplier import Arm


@dataclass(frozen=True)
class Lead:
    """At ``size`` the fitted error of B is ``lead`` above that of A, within [``low``, ``high``]."""

    size: float
    lead: float
    low: float
    high: float


def lead(law: Law, a: Arm, b: Arm, coverage: float = COVERAGE) -> Lead:
    """Student's interval over jackknife pseudo-values of the seeds (Tukey 1958), which both arms
    must share. Raises FitError as ``raystudy.laws.multiplier.data_multiplier`` does."""
    x_a, y_a, seeds_a = check_runs(*a)
    x_b, y_b, seeds_b = check_runs(*b)
    names = np.unique(seeds_a)
    if not np.array_equal(names, np.unique(seeds_b)):
        raise FitError("the arms are not paired: they have other seeds; run those that one lacks")
    size = min(x_a.max(), x_b.max())
    number = len(names)
    counts = np.vstack([np.ones(number), 1 - np.eye(number)[: number if number > 1 else 0]])
    apart = np.zeros(len(counts))
    for sign, x, y, seeds in ((-1, x_a, y_a, seeds_a), (1, x_b, y_b, seeds_b)):
        curves = solve_weighted(law, x, y, run_weights(counts, names, seeds))
        apart += sign * np.asarray(law.predict(np.array([size]), curves))[:, 0]
    if number == 1:
        return Lead(float(size), float(apart[0]), -np.inf, np.inf)
    _, low, high = mean_interval(number * apart[0] - (number - 1) * apart[1:], coverage)
    return Lead(float(size), float(apart[0]), low, high)
