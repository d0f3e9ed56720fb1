"""Softmax regression with a group lasso on a working set: proximal steps, then Newton's.

Proximal steps find which rows are zero: accelerated (Beck and Teboulle 2009), restarted where they
overshoot (O'Donoghue and Candès 2015), each as long as the local curvature allows. On the rows that
are not zero the objective is smooth, and Newton's method goes on: by conjugate gradients,
preconditioned with the Hessian of each class by itself, along a path on which a row that would turn
round stays at zero. Neither ever goes uphill.

Shapes: N rows, A features, C classes. Features are centred: the bias is the mean of the logits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raystudy.kinds import Floats

Doubles = NDArray[np.float64]

SHRINK = 0.95
"""Of the estimated curvature after each step, for it falls as predictions become sure."""
NUM_PROXIMAL = 10
"""Proximal steps before each of Newton's."""
MAX_INNER = 30
"""Conjugate gradients of one of Newton's steps; one that is cut short is still a descent."""
MAX_INVERTED = 500
"""Rows that are not zero; where there are more, proximal steps do it alone."""


@dataclass
class Descent:
    """Where the minimisation stands; ``run`` goes on from there."""

    x_NxA: Floats
    hot_NxC: Doubles
    strength: float
    weights_AxC: Doubles
    logits_NxC: Doubles
    """Of the weights and the bias."""
    curvature: float = 0.25
    num_steps: int = 0
    num_products: int = 0
    """With ``x`` (N × A by A × C)."""

    def run(self, enough: float, max_steps: int) -> None:
        """Until the gap, were these all features, is ``enough``, or for ``max_steps`` of either
        kind."""
        before = self.weights_AxC, self.logits_NxC
        value, t = self._value(*before), 1.0
        while self.num_steps < max_steps:
            were_zero = ~self.weights_AxC.any(1)
            for _ in range(NUM_PROXIMAL):
                before, value, t = self._accelerated(before, value, t)
            value = self._settle()
            if self._gap(value) <= enough:
                return
            if np.array_equal(were_zero, ~self.weights_AxC.any(1)) and self._newton():
                before, t = (self.weights_AxC, self.logits_NxC), 1.0
                value = self._value(*before)

    def _accelerated(
        self, before: tuple[Doubles, Doubles], value: float, t: float
    ) -> tuple[tuple[Doubles, Doubles], float, float]:
        """A proximal step from beyond where the last one led, given where that began; and the same
        for the next."""
        self.num_steps += 1
        w, logits = self.weights_AxC, self.logits_NxC
        t_next = (1 + math.sqrt(1 + 4 * t * t)) / 2
        momentum = (t - 1) / t_next
        v = w + momentum * (w - before[0])
        new, logits_new, value_new = self._step(v, logits + momentum * (logits - before[1]))
        if momentum and not value_new <= value:  # it overshot: go on without momentum
            return (w, logits), value, 1.0
        if float(((v - new) * (new - w)).sum()) > 0:
            t_next = 1.0  # the momentum points uphill
        self.weights_AxC, self.logits_NxC = new, logits_new
        return (w, logits), value_new, t_next

    def _step(self, v: Doubles, logits: Doubles) -> tuple[Doubles, Doubles, float]:
        """A proximal step from weights ``v``, short enough that the objective lies below its
        model; and the objective there."""
        shares, loss = softmax(logits, self.hot_NxC)
        residual = (shares - self.hot_NxC) / len(logits)
        gradient = self._across(residual)
        while True:
            new = _shortened(v - gradient / self.curvature, self.strength / self.curvature)
            of_bias = -residual.sum(0) / max(self.curvature, 0.5)
            move = self._times(new - v) + of_bias
            size = float(np.square(new - v).sum() + np.square(of_bias).sum())
            above = _above_tangent(shares, move)
            if above <= 0.5 * self.curvature * size * (1 + 1e-6):
                self.curvature *= SHRINK
                loss += float((residual * move).sum()) + above
                return new, logits + move, loss + self.strength * row_sum(new)
            self.curvature *= 2

    def _newton(self) -> bool:
        """One step on the rows that are not zero; False, and none, where it would not go down."""
        some = np.asarray(self.weights_AxC.any(1))
        if not 0 < some.sum() <= MAX_INVERTED:
            return False
        x, w, logits = self.x_NxA[:, some], self.weights_AxC[some], self.logits_NxC
        N, (A, C) = len(x), w.shape
        shares, _ = softmax(logits, self.hot_NxC)
        norms = np.linalg.norm(w, axis=1, keepdims=True)
        unit, pull = w / norms, self.strength / norms
        residual = (shares - self.hot_NxC) / N

        def across(rows_NxC: Doubles) -> Doubles:
            """With the bias as a last row."""
            products = np.asarray(x.T @ rows_NxC.astype(x.dtype), np.float64)
            return np.concatenate([products, rows_NxC.sum(0)[None]])

        def times(step: Doubles) -> Doubles:
            return np.asarray(x @ step[:-1].astype(x.dtype), np.float64) + step[-1]

        def curved(step: Doubles, along: Doubles) -> Doubles:
            weighted = shares * along
            weighted -= shares * weighted.sum(1, keepdims=True)
            out = across(weighted / N)
            out[:-1] += pull * (step[:-1] - unit * (unit * step[:-1]).sum(1, keepdims=True))
            return out

        inverse = _inverses(x, shares, pull * (1 - unit**2))
        gradient = across(residual)
        gradient[:-1] += self.strength * unit
        step, of_logits = np.zeros((A + 1, C)), np.zeros((N, C))
        left, towards, size, first = -gradient, None, 0.0, None
        for _ in range(MAX_INNER):
            better = (inverse @ left.T[:, :, None])[:, :, 0].T
            new_size = float((left * better).sum())
            first = first or new_size
            if new_size <= 1e-3 * first:
                break
            towards = better if towards is None else better + (new_size / size) * towards
            size = new_size
            along = times(towards)
            bent = curved(towards, along)
            self.num_products += 2
            rate = size / float((towards * bent).sum())
            step, of_logits = step + rate * towards, of_logits + rate * along
            left = left - rate * bent
        self.num_steps += 1
        return self._go(some, step, of_logits, float((gradient * step).sum()))

    def _go(self, some: NDArray[np.bool_], step: Doubles, of_logits: Doubles, slope: float) -> bool:
        w, before = self.weights_AxC[some], self._value(self.weights_AxC, self.logits_NxC)
        for length in 0.5 ** np.arange(6):
            moved = w + length * step[:-1]
            turned = (moved * w).sum(1) <= 0
            moved[turned] = 0
            weights = self.weights_AxC.copy()
            weights[some] = moved
            if turned.any():
                bias = self.logits_NxC.mean(0) + length * step[-1]
                logits = self._times(weights) + bias
            else:
                logits = self.logits_NxC + length * of_logits
            if self._value(weights, logits) <= before + 1e-4 * length * slope:
                self.weights_AxC, self.logits_NxC = weights, logits
                return True
        return False

    def _settle(self) -> float:
        """The objective, with the bias at its optimum."""
        # From the weights: what was added up step by step has drifted by rounding.
        logits = self._times(self.weights_AxC) + self.logits_NxC.mean(0)
        self.logits_NxC = logits + best_shift(logits, self.hot_NxC)
        return self._value(self.weights_AxC, self.logits_NxC)

    def _gap(self, value: float) -> float:
        shares, _ = softmax(self.logits_NxC, self.hot_NxC)
        gradient = self._across((shares - self.hot_NxC) / len(shares))
        steepest = math.sqrt(float(np.square(gradient).sum(1).max()))
        return value - dual(shares, self.hot_NxC, self.strength, steepest)

    def _value(self, weights: Doubles, logits: Doubles) -> float:
        return softmax(logits, self.hot_NxC)[1] + self.strength * row_sum(weights)

    def _times(self, weights_AxC: Doubles) -> Doubles:
        self.num_products += 1
        return np.asarray(self.x_NxA @ weights_AxC.astype(self.x_NxA.dtype), np.float64)

    def _across(self, rows_NxC: Doubles) -> Doubles:
        self.num_products += 1
        return np.asarray(self.x_NxA.T @ rows_NxC.astype(self.x_NxA.dtype), np.float64)


def dual(shares: Doubles, hot: Doubles, strength: float, steepest: float) -> float:
    """A lower bound of the minimum: the mean entropy of targets moved towards the predictions as
    far as no feature's gradient exceeds λ. Holds where the bias is at its optimum."""
    scale = 1.0 if steepest <= strength else strength / steepest
    q = (1 - scale) * hot + scale * shares
    return float(-(q * np.log(np.maximum(q, 1e-300))).sum() / len(hot))


def best_shift(logits: Doubles, hot: Doubles) -> Doubles:
    """What to add to the bias (C,) so that it is optimal: Newton's method."""
    shift, N, C = np.zeros(hot.shape[1]), *hot.shape
    for _ in range(20):
        shares, _ = softmax(logits + shift, hot)
        gradient = (shares - hot).sum(0) / N
        if np.abs(gradient).max() < 1e-12:
            break
        curvature = (np.diag(shares.sum(0)) - shares.T @ shares) / N
        # A constant added to all classes changes nothing; the extra term keeps it out.
        step = np.linalg.solve(curvature + 1 / C + 1e-12 * np.eye(C), gradient)
        shift = shift - step / max(1.0, float(np.abs(step).max()))
    return shift - shift.mean()


def softmax(logits: Doubles, hot: Doubles) -> tuple[Doubles, float]:
    """Probabilities (N, C), and the mean loss."""
    shifted = logits - logits.max(1, keepdims=True)
    shares = np.exp(shifted)
    total = shares.sum(1, keepdims=True)
    loss = np.log(total).sum() - np.einsum("nc,nc->", shifted, hot)
    return shares / total, float(loss) / len(logits)


def row_sum(x: Floats) -> float:
    """Of the rows' norms."""
    return float(np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64)).sum())


def _inverses(x: Floats, shares: Doubles, pull_AxC: Doubles) -> Doubles:
    """Of the Hessian of each class by itself, bias last. (C, A + 1, A + 1)"""
    N, A = x.shape
    C = shares.shape[1]
    out = np.empty((C, A + 1, A + 1))
    for c in range(C):
        weight = shares[:, c] * (1 - shares[:, c]) / N
        weighted = x * weight[:, None].astype(x.dtype)
        out[c, :A, :A] = x.T @ weighted
        out[c, :A, A] = out[c, A, :A] = weighted.sum(0)
        out[c, A, A] = weight.sum()
        diagonal = np.einsum("ii->i", out[c])
        diagonal[:A] += pull_AxC[:, c]
        diagonal += 1e-6 * diagonal.max() + 1e-12  # products are rounded
    return np.asarray(np.linalg.inv(out), np.float64)


def _shortened(v: Doubles, by: float) -> Doubles:
    """The proximal map: each row shorter by ``by``, zero where it is no longer than that."""
    norms = np.sqrt(np.einsum("ij,ij->i", v, v))
    return v * np.maximum(1 - by / np.maximum(norms, 1e-300), 0)[:, None]


def _above_tangent(shares: Doubles, move: Doubles) -> float:
    """How far the mean loss rises above its tangent when logits ``move``; free of cancellation."""
    centred = move - (shares * move).sum(1, keepdims=True)
    with np.errstate(over="ignore", invalid="ignore"):  # of a step that was far too long
        return float(np.log1p((shares * (np.expm1(centred) - centred)).sum(1)).mean())
