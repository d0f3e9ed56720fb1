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
CHUNK_BYTES = 400_000
"""Of the slopes of the problems that are stepped together: what a core's cache holds."""


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
    with np.errstate(all="ignore"):
        for begin in range(0, len(starts), size):
            part = slice(begin, begin + size)
            search = _Search(problem, starts[part], rows[part], low[part], high[part])
            search.run()
            found.parameters[part] = search.found
            found.objective[part] = search.least
            found.converged[part] = search.converged
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
    """The problems of one chunk; those that have converged leave the working arrays."""

    def __init__(
        self, problem: Problem, starts: Doubles, rows: Integers, low: Doubles, high: Doubles
    ) -> None:
        law = problem.law
        self.law, self.x, self.loss = law, problem.x, problem.loss
        self.is_log = np.array([name in law.logarithmic for name in law.parameters])
        self.linear = [i for i, name in enumerate(law.parameters) if name in law.linear]
        self.low, self.high = low, high
        self.y = np.atleast_2d(problem.y)
        self.y = np.broadcast_to(self.y, (max(len(self.y), 1), self.y.shape[1]))
        self.target = problem.loss.forward(self.y)
        self.y, self.target = (_rows(a, rows) for a in (self.y, self.target))
        self.weights = _rows(problem.weights, rows)
        scale = np.where(self.weights > 0, self.target, 0.0)
        self.floor = NOTHING * (self.weights * scale**2).sum(1) + TINY
        self.projects = bool(self.linear) and problem.loss.is_least_squares_on_y

        start = np.clip(self._filled(starts), low, high)
        self.z = self._inward(start)
        self.z_low, self.z_high = self._inward(low), self._inward(high)
        if self.projects:
            self.z, _ = self._projected(self.z)
        self.f, self.cost = self._evaluate(self.z)
        self.damping = np.full(len(starts), 1e-2)
        self.index = np.arange(len(starts))
        self.found, self.least = self._outward(self.z), self.cost.copy()
        self.converged = np.zeros(len(starts), dtype=bool)

    def run(self) -> None:
        self._leave(~np.isfinite(self.cost), converged=False)
        for _ in range(MAX_STEPS):
            if not len(self.index):
                return
            gradient, hessian = self._model()
            step, promised = self._step(gradient, hessian)
            small = promised <= TOLERANCE * self.cost + self.floor
            done = (small & (self.damping <= 1e-2)) | (self.damping > 1e12)
            trial = np.clip(self.z + step, self.z_low, self.z_high)
            if self.projects:
                trial, held = self._projected(trial)
                trial = np.where(held[:, None], trial, self.z)
            f, cost = self._evaluate(trial)
            gain = (self.cost - cost) / np.maximum(promised, TINY)
            better = cost < self.cost
            self.z = np.where(better[:, None], trial, self.z)
            self.f = np.where(better[:, None], f, self.f)
            self.cost = np.where(better, cost, self.cost)
            good = better & (gain > 0.5)
            poor = ~better | (gain < 0.1)
            factor = np.where(good, 0.1, np.where(poor, np.where(better, 2.0, 8.0), 1.0))
            self.damping = np.maximum(self.damping * factor, 1e-10)
            if done.any():
                self._leave(done, converged=True)
        self._leave(np.ones(len(self.index), dtype=bool), converged=False)

    def _model(self) -> tuple[Doubles, Doubles]:
        """Gradient (B, P) and Gauss–Newton matrix (B, P, P) of the loss in the coordinates."""
        J = slopes(self.law, self.x, self._outward(self.z))
        r = self.loss.forward(self.f) - self.target
        by_f = self.loss.slope(self.f)
        caution = np.minimum(30 * self.damping, 1)[:, None]
        pull = self.weights * self.loss.psi(r) * by_f
        bend = self.weights * self.loss.curvature(r, caution) * by_f**2
        gradient = (J @ pull[..., None])[..., 0]
        hessian = (J * bend[:, None]) @ J.swapaxes(1, 2)
        stretch = np.where(self.is_log, self._outward(self.z), 1.0)
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

    def _evaluate(self, z: Doubles) -> tuple[Doubles, Doubles]:
        """The curves (B, N) and the objectives (B,), inf where a curve has no value."""
        f = np.asarray(self.law.predict(self.x, self._outward(z)), dtype=np.float64)
        r = self.loss.forward(f) - self.target
        cost = np.where(self.weights > 0, self.weights * self.loss.rho(r), 0.0).sum(1)
        return f, np.where(np.isfinite(cost), cost, np.inf)

    def _projected(self, z: Doubles) -> tuple[Doubles, Doubles]:
        """z with its linear parameters solved for, and whether that could be done, (B,)."""
        outward = self._outward(z)
        solved = self._with_linear(outward, self.weights)
        whole = np.isfinite(solved).all(1)
        solved = np.where(whole[:, None], solved, outward)
        return np.clip(self._inward(solved), self.z_low, self.z_high), whole

    def _with_linear(self, parameters: Doubles, weights: Doubles) -> Doubles:
        """Least squares on y for the linear parameters, given the others."""
        terms = slopes(self.law, self.x, parameters)[:, self.linear]
        low, high = self.low[:, self.linear], self.high[:, self.linear]
        fixed = low[0] == high[0]
        target = self.y
        if fixed.any():
            target = target - np.einsum("bk,bkn->bn", low[:, fixed], terms[:, fixed])
        solved = low.copy()
        if not fixed.all():
            free = ~fixed
            ends = low[0, free], high[0, free]
            solved[:, free] = box_least_squares(terms[:, free], target, weights, *ends)
        parameters = parameters.copy()
        parameters[:, self.linear] = solved
        return parameters

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

    def _leave(self, who: np.ndarray, converged: bool) -> None:
        if not who.any():
            return
        at = self.index[who]
        self.found[at], self.least[at] = self._outward(self.z[who]), self.cost[who]
        self.converged[at] = converged
        stay = ~who
        names = ("index", "z", "z_low", "z_high", "low", "high", "f", "cost", "damping", "floor")
        for name in (*names, "y", "target", "weights"):
            setattr(self, name, getattr(self, name)[stay])

    def _inward(self, parameters: Doubles) -> Doubles:
        return np.where(self.is_log, np.log(np.maximum(parameters, TINY)), parameters)

    def _outward(self, z: Doubles) -> Doubles:
        return np.where(self.is_log, np.exp(z), z)


def _rows(values: Doubles, rows: Integers) -> Doubles:
    return np.repeat(values, len(rows), axis=0) if len(values) == 1 else values[rows]
