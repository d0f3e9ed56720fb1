"""Fits many curves at once: Levenberg–Marquardt over every (resample × start) together.

Each problem searches in its own coordinates (the logarithm of ``Law.logarithmic`` parameters),
within its bounds by projection: a coordinate on a bound that the gradient presses on rests there.
Where the loss is least squares on y, the linear parameters are solved for after each step, which
makes the step that of variable projection in Kaufman's form (Golub and Pereyra 1973, 2003). Huber's
loss takes semi-smooth Newton steps, damped towards iteratively reweighted least squares.

Shapes: B problems, R rows of weights, N points, P parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raystudy.kinds import Floats, Integers, Law
from raystudy.laws.arrays import Doubles
from raystudy.laws.linear import box_least_squares
from raystudy.laws.losses import Loss

MAX_STEPS = 400
TOLERANCE = 1e-12
"""Of the objective: how much of it a step must promise to be taken."""
NOTHING = 1e-28
"""Of the mean square of what is fitted: an objective below is a perfect fit."""
TINY = 1e-300
MAX_LOG_STEP = 5.0
CHUNK_BYTES = 500_000
"""Of the slopes of the problems that are stepped together: what a core's cache holds."""


FIRST_DAMPING = 1e-2
PARTS = (
    *("index", "low", "high", "y", "target", "weights", "floor", "z", "z_low", "z_high"),
    *("f", "r", "cost", "damping", "steps"),
)
"""What a search keeps for each of its problems."""


@dataclass(frozen=True)
class Problem:
    """What is fitted: one law to N runs, R times over."""

    law: Law
    x: Floats
    y: Doubles
    """(N,), or (R, N) where resamples have values of their own."""
    weights: Doubles
    """(R, N), or (1, N) where all have the same."""
    loss: Loss
    low: Doubles
    """Of the parameters, (P,), or (B, P) for each problem; equal to ``high`` where one is fixed."""
    high: Doubles


@dataclass(frozen=True)
class Minima:
    """Where B searches ended: parameters (B, P), objectives (B,) and whether each converged."""

    parameters: Doubles
    objective: Doubles
    converged: np.ndarray

    def take(self, rows: Integers) -> Minima:
        return Minima(self.parameters[rows], self.objective[rows], self.converged[rows])


def minimise(problem: Problem, starts: Floats, rows: Integers) -> Minima:
    """Search from each of ``starts`` (B, P) for the least loss of row ``rows`` (B,) of the weights.

    NaN in a start stands for a linear parameter, which is solved for. A start at which the law has
    no value ends with objective inf; nothing is NaN.
    """
    starts = np.asarray(starts, dtype=np.float64)
    low, high = (np.broadcast_to(b, starts.shape) for b in (problem.low, problem.high))
    found = Minima(starts.copy(), np.full(len(starts), np.inf), np.zeros(len(starts), dtype=bool))
    num_points = problem.y.shape[-1]
    size = max(1, CHUNK_BYTES // (8 * num_points * starts.shape[1]))
    queue = list(range(0, len(starts), size))

    def enter() -> _Search:
        part = slice(queue[0], queue.pop(0) + size)
        index = np.arange(len(starts))[part]
        return _Search(problem, starts[part], rows[part], low[part], high[part], index, found)

    with np.errstate(all="ignore"):
        search = enter() if queue else None
        while search and (len(search.index) or queue):
            if queue and len(search.index) <= size // 2:
                search.absorb(enter())
            else:
                search.step()
    return found


def slopes(law: Law, x: Floats, parameters: Doubles) -> Doubles:
    """The law's Jacobian (…, P, N), or central differences where it has none."""
    given = law.jacobian(x, parameters)
    if given is not None:
        return np.asarray(given, dtype=np.float64)
    rows = []
    for i in range(parameters.shape[-1]):
        step = np.zeros_like(parameters)
        step[..., i] = np.maximum(np.abs(parameters[..., i]), 1e-8) * 6e-6
        rise = law.predict(x, parameters + step) - law.predict(x, parameters - step)
        rows.append(rise / (2 * step[..., i, None]))
    return np.stack(rows, axis=-2)


class _Search:
    """The problems that are stepped together. Those that have converged leave, into ``found``, and
    others are absorbed: a core does best with about as many as its cache holds."""

    def __init__(
        self,
        problem: Problem,
        starts: Doubles,
        rows: Integers,
        low: Doubles,
        high: Doubles,
        index: Integers,
        found: Minima,
    ) -> None:
        law = problem.law
        self.law, self.x, self.loss, self.found = law, problem.x, problem.loss, found
        self.is_log = np.array([name in law.logarithmic for name in law.parameters])
        self.linear = [i for i, name in enumerate(law.parameters) if name in law.linear]
        self.projects = bool(self.linear) and problem.loss.is_least_squares_on_y
        self.index, self.low, self.high = index, low, high
        self.y = _rows(np.atleast_2d(problem.y), rows)
        self.target = problem.loss.forward(self.y)
        self.weights = _rows(problem.weights, rows)
        scale = np.where(self.weights > 0, self.target, 0.0)
        self.floor = NOTHING * (self.weights * scale**2).sum(1) + TINY

        start = np.clip(self._filled(starts), low, high)
        self.z = self._inward(start)
        self.z_low, self.z_high = self._inward(low), self._inward(high)
        if self.projects:
            self.z, _ = self._projected(self.z)
        self.f, self.r, self.cost = self._evaluate(self.z)
        self.damping = np.full(len(starts), FIRST_DAMPING)
        self.steps = np.zeros(len(starts), dtype=np.int64)
        lost = ~np.isfinite(self.cost)
        self._leave(lost, converged=~lost)

    def absorb(self, other: _Search) -> None:
        for name in PARTS:
            setattr(self, name, np.concatenate([getattr(self, name), getattr(other, name)]))

    def step(self) -> None:
        gradient, hessian = self._model()
        step, promised = self._step(gradient, hessian)
        small = promised <= TOLERANCE * self.cost + self.floor
        done = (small & (self.damping <= FIRST_DAMPING)) | (self.damping > 1e12)
        trial = np.clip(self.z + step, self.z_low, self.z_high)
        if self.projects:
            trial, whole = self._projected(trial)
            trial = np.where(whole[:, None], trial, self.z)
        f, r, cost = self._evaluate(trial)
        gain = (self.cost - cost) / np.maximum(promised, TINY)
        better = cost < self.cost
        if better.all():
            self.z, self.f, self.r, self.cost = trial, f, r, cost
        else:
            at = np.flatnonzero(better)
            self.z[at], self.f[at], self.r[at], self.cost[at] = trial[at], f[at], r[at], cost[at]
        good = better & (gain > 0.5)
        poor = ~better | (gain < 0.1)
        factor = np.where(good, 0.1, np.where(poor, np.where(better, 2.0, 8.0), 1.0))
        self.damping = np.maximum(self.damping * factor, 1e-10)
        self.steps += 1
        self._leave(done | (self.steps >= MAX_STEPS), converged=done)

    def _model(self) -> tuple[Doubles, Doubles]:
        """Gradient (B, P) and Gauss–Newton matrix (B, P, P) of the loss in the coordinates."""
        parameters = self._outward(self.z)
        J = slopes(self.law, self.x, parameters)
        by_f = self.loss.slope(self.f)
        weighted = self.weights * by_f
        caution = np.minimum(100 * self.damping, 1)[:, None]
        psi, bend = self.loss.slopes(self.r, caution)
        gradient = (J @ (weighted * psi)[..., None])[..., 0]
        hessian = (J * (weighted * by_f * bend)[:, None]) @ J.swapaxes(1, 2)
        stretch = np.where(self.is_log, parameters, 1.0)
        return gradient * stretch, hessian * (stretch[:, :, None] * stretch[:, None])

    def _step(self, gradient: Doubles, hessian: Doubles) -> tuple[Doubles, Doubles]:
        """The damped step (B, P) and how much of the objective it promises to take, (B,)."""
        rests = (self.z <= self.z_low) & (gradient > 0) | (self.z >= self.z_high) & (gradient < 0)
        rests |= self.z_low == self.z_high
        scale = np.sqrt(np.einsum("bpp->bp", hessian))
        rests |= ~(scale > 1e-150)
        scale = np.where(rests, 1.0, scale)
        g = np.where(rests, 0.0, gradient / scale)
        moves = ~rests
        H = hessian / (scale[:, :, None] * scale[:, None]) * (moves[:, :, None] & moves[:, None])
        diagonal = np.einsum("bpp->bp", H)
        diagonal[:] = 1.0
        damped = H.copy()
        np.einsum("bpp->bp", damped)[:] += self.damping[:, None] + 1e-13
        s = -np.linalg.solve(damped, g[..., None])[..., 0]
        promised = -(g * s).sum(1) - 0.5 * np.einsum("bp,bpq,bq->b", s, H, s)
        step = s / scale
        far = np.abs(np.where(self.is_log, step, 0.0)).max(1)
        shrink = np.minimum(1, MAX_LOG_STEP / np.maximum(far, TINY))
        return step * shrink[:, None], promised

    def _evaluate(self, z: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        """Curves (B, N), residuals (B, N) and objectives (B,), inf where a curve has no value."""
        f = np.asarray(self.law.predict(self.x, self._outward(z)), dtype=np.float64)
        r = self.loss.forward(f) - self.target
        cost = np.einsum("bn,bn->b", self.weights, self.loss.rho(r))
        return f, r, np.where(np.isfinite(cost), cost, np.inf)

    def _projected(self, z: Doubles) -> tuple[Doubles, np.ndarray]:
        """z with its linear parameters solved for, and whether that could be done, (B,)."""
        outward = self._outward(z)
        solved = self._with_linear(outward, self.weights)
        whole = np.asarray(np.isfinite(solved).all(1))
        solved = np.where(whole[:, None], solved, outward)
        return np.clip(self._inward(solved), self.z_low, self.z_high), whole

    def _with_linear(self, parameters: Doubles, weights: Doubles) -> Doubles:
        """Least squares on y for the linear parameters, given the others."""
        free = [i for i in self.linear if (self.low[:, i] != self.high[:, i]).all()]
        if not free:
            return parameters
        terms = slopes(self.law, self.x, parameters)[:, free]
        solved = parameters.copy()
        solved[:, free] = 0.0
        rest = self.y - np.asarray(self.law.predict(self.x, solved), dtype=np.float64)
        ends = self.low[0, free], self.high[0, free]
        solved[:, free] = box_least_squares(terms, rest, weights, *ends)
        return solved

    def _filled(self, starts: Doubles) -> Doubles:
        """Starts whose NaN are solved for, on the scale of the loss to first order."""
        missing = np.isnan(starts).any(1)
        if not missing.any():
            return starts
        guess = np.where(np.isnan(starts), 1.0, starts)
        guess = np.where(self.low == self.high, self.low, guess)
        by_y = self.loss.slope(self.y)
        solved = self._with_linear(guess, self.weights * by_y**2)
        solved = np.where(np.isfinite(solved), solved, guess)
        return np.where(np.isnan(starts), solved, starts)

    def _leave(self, who: np.ndarray, converged: np.ndarray) -> None:
        if not who.any():
            return
        at = self.index[who]
        self.found.parameters[at] = self._outward(self.z[who])
        self.found.objective[at], self.found.converged[at] = self.cost[who], converged[who]
        stay = ~who
        for name in PARTS:
            setattr(self, name, getattr(self, name)[stay])

    def _inward(self, parameters: Doubles) -> Doubles:
        return np.where(self.is_log, np.log(np.maximum(parameters, TINY)), parameters)

    def _outward(self, z: Doubles) -> Doubles:
        return np.where(self.is_log, np.exp(z), z)


def _rows(values: Doubles, rows: Integers) -> Doubles:
    return np.repeat(values, len(rows), axis=0) if len(values) == 1 else values[rows]
