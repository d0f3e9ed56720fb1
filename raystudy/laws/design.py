"""Which runs to add: the ones that narrow a quantity most for what they cost.

Around a fit every curve is linear in its parameters. A run of an arm at one size is then its curve,
what its seed does to the whole of that curve, and noise of its own, and runs bring Fisher
information JᵀΩ⁻¹J, where Ω is the covariance that seed and noise make. A quantity with gradient g
has the variance gᵀ(JᵀΩ⁻¹J)⁻¹g (the delta method), and a run is worth what it takes off that: the
c-optimal design of Elfving (1952), added to one candidate after the other (Wynn 1970). Nothing is
drawn, so that the same runs give the same answer.

Shapes: M runs, A arms, P parameters of each, S seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from raystudy.kinds import Integers, Law
from raystudy.laws.arrays import Doubles
from raystudy.laws.fit import solve_weighted
from raystudy.laws.losses import named
from raystudy.laws.solver import slopes
from raystudy.laws.status import FitError
from raystudy.laws.table import PRIOR_DEGREES

MAX_CONDITION = 1e14
"""Of the information, its columns of length 1: beyond, some parameter is not identified."""
STEP = 0.05
"""Of a standard error: how far a parameter moves for a slope."""

Quantity = Callable[[Doubles], float]
"""Of the parameters (A, P), on the scale on which its interval is symmetric."""


@dataclass(frozen=True, eq=False)
class Runs:
    """Each run's arm (M,) as a row of the parameters, its size (M,) and its seed (M,)."""

    arm: Integers
    x: Doubles
    seed: Integers

    def and_(self, other: Runs) -> Runs:
        return Runs(
            np.concatenate([self.arm, other.arm]),
            np.concatenate([self.x, other.x]),
            np.concatenate([self.seed, other.seed]),
        )


@dataclass(frozen=True, eq=False)
class Noise:
    """On the scale of the law's loss: ``run`` (A,), the variance of a run of its own, and ``seed``
    (A, A), the covariance of what one seed does to the whole curves of two arms."""

    run: Doubles
    seed: Doubles


@dataclass(frozen=True, eq=False)
class Candidate:
    """Runs that come together, as the cells of one pre-training do, and what they cost."""

    name: str
    runs: Runs
    cost: float


@dataclass(frozen=True)
class Choice:
    """A candidate's place in the list, and the quantity's standard error before and after it."""

    index: int
    before: float
    after: float
    gain: float
    """How much standard error it takes off, for each unit of cost."""


@dataclass(frozen=True, eq=False)
class Design:
    """Fitted curves (A, P), the runs that they were fitted to, and the noise about them."""

    law: Law
    parameters: Doubles
    runs: Runs
    noise: Noise

    def covariance(self, also: Sequence[Runs] = ()) -> Doubles:
        """Of all parameters, (A·P, A·P), once the runs ``also`` are there. Raises FitError where
        some are not identified."""
        runs = self.runs
        for more in also:
            runs = runs.and_(more)
        return _inverse(sum(self._information(runs, s) for s in np.unique(runs.seed)))  # type: ignore[arg-type]

    def gradient(self, quantity: Quantity) -> Doubles:
        """(A·P,), over steps that are small beside the doubt about each parameter. Raises FitError
        where the quantity is not finite there."""
        error = np.sqrt(np.diag(self.covariance()))
        slope = np.zeros(len(error))
        for i, e in enumerate(error):
            step = np.zeros(len(error))
            step[i] = STEP * e
            up, down = (
                quantity(self.parameters + s.reshape(self.parameters.shape)) for s in (step, -step)
            )
            slope[i] = (up - down) / (2 * STEP * e)
        if not np.isfinite(slope).all():
            raise FitError("the quantity is out of reach of the sizes that were run")
        return slope

    def standard_error(self, gradient: Doubles, also: Sequence[Runs] = ()) -> float:
        return float(np.sqrt(gradient @ self.covariance(also) @ gradient))

    def _information(self, runs: Runs, seed: int) -> Doubles:
        """What the runs of one seed tell, (A·P, A·P)."""
        own = runs.seed == seed
        arm, x = runs.arm[own], runs.x[own]
        num_arms, num_parameters = self.parameters.shape
        loss = named(self.law.loss)
        J = np.zeros((len(x), num_arms, num_parameters))
        for a in np.unique(arm):
            at = arm == a
            curve = np.asarray(self.law.predict(x[at], self.parameters[a]), dtype=np.float64)
            J[at, a] = (slopes(self.law, x[at], self.parameters[a]) * loss.slope(curve)).T
        J = J.reshape(len(x), -1)
        omega = self.noise.seed[np.ix_(arm, arm)] + np.diag(self.noise.run[arm])
        return J.T @ np.linalg.solve(omega, J)


def fitted(law: Law, runs: Runs, y: Doubles) -> Design:
    """Least squares of each arm, and the noise about it. Raises FitError for an arm with fewer
    distinct sizes than parameters, or with as many runs as these."""
    arms = range(int(runs.arm.max()) + 1)
    parameters = np.stack(
        [
            solve_weighted(law, runs.x[own], y[own], np.ones((1, own.sum())))[0]
            for own in (runs.arm == a for a in arms)
        ]
    )
    loss = named(law.loss)
    residual = np.empty(len(y))
    for a in arms:
        own = runs.arm == a
        curve = np.asarray(law.predict(runs.x[own], parameters[a]), dtype=np.float64)
        residual[own] = loss.forward(y[own]) - loss.forward(curve)
    return Design(law, parameters, runs, noise_of(residual, runs, len(law.parameters)))


def noise_of(residual: Doubles, runs: Runs, num_parameters: int) -> Noise:
    """Variances by moments: of a run within its seed, shrunk to the mean over arms, for few runs
    know it badly; and of seeds, what their means differ by beyond that. Raises FitError where
    nothing is left to tell noise from."""
    num_arms = int(runs.arm.max()) + 1
    names = np.unique(runs.seed)
    shift = np.full((num_arms, len(names)), np.nan)
    counts, squares, freedom = np.zeros((3, num_arms))
    for a in range(num_arms):
        own = runs.arm == a
        spare = own.sum() - num_parameters
        seeds = [s for s in names if (own & (runs.seed == s)).any()]
        splits = spare >= len(seeds) > 1  # else noise and seeds cannot be told apart
        inner = residual[own].copy()
        for s in seeds if splits else ():
            at = runs.seed[own] == s
            shift[a, names == s] = inner[at].mean()
            inner[at] -= inner[at].mean()
        counts[a] = own.sum() / len(seeds)
        squares[a] = inner @ inner
        freedom[a] = max(spare - (len(seeds) - 1 if splits else 0), 0)
    if freedom.sum() < 1:
        raise FitError(
            "as many parameters as runs leave nothing to tell noise from; run more seeds"
        )
    pooled = squares.sum() / freedom.sum()
    run = (squares + PRIOR_DEGREES * pooled) / (freedom + PRIOR_DEGREES)
    run = np.maximum(run, np.finfo(float).tiny ** 0.5)
    seed = np.zeros((num_arms, num_arms))
    for a in range(num_arms):
        for b in range(num_arms):
            both = np.isfinite(shift[a] * shift[b])
            if both.sum() > 1:
                seed[a, b] = (shift[a] * shift[b])[both].sum() / (both.sum() - 1)
        seed[a, a] -= run[a] / counts[a]
    values, vectors = np.linalg.eigh(seed)
    return Noise(run, (vectors * np.maximum(values, 0)) @ vectors.T)


def next_best(
    design: Design, gradient: Doubles, candidates: Sequence[Candidate], number: int
) -> list[Choice]:
    """Up to ``number`` of ``candidates``, each the one that takes most standard error off for its
    cost once those before it are there. What takes nothing off is left out; of equals the first by
    name comes first. Raises ValueError for a cost that is not positive."""
    if any(not c.cost > 0 for c in candidates):
        raise ValueError("a candidate's cost must be positive, or everything is worth it")
    left = sorted(range(len(candidates)), key=lambda i: (candidates[i].name, candidates[i].cost))
    chosen: list[Choice] = []
    taken: list[Runs] = []
    before = design.standard_error(gradient)
    while left and len(chosen) < number:
        tried = []
        for i in left:
            after = design.standard_error(gradient, [*taken, candidates[i].runs])
            tried.append(Choice(i, before, after, (before - after) / candidates[i].cost))
        best = max(tried, key=lambda choice: choice.gain)
        if best.before - best.after <= 1e-9 * best.before:
            break
        chosen.append(best)
        taken.append(candidates[best.index].runs)
        left.remove(best.index)
        before = best.after
    return chosen


def _inverse(information: Doubles) -> Doubles:
    scale = np.sqrt(np.diag(information))
    if not (scale > 0).all():
        raise FitError("some parameter has no influence on any run: the curve is flat")
    unit = information / (scale[:, None] * scale)
    if not np.linalg.cond(unit) < MAX_CONDITION:
        raise FitError("the runs cannot tell the parameters apart; run more sizes")
    return np.linalg.inv(unit) / (scale[:, None] * scale)
