"""Softmax regression with a group lasso over features, to a proven distance from its optimum.

min over (W, b) of (1/N) Σₙ −log softmax(xₙ W + b)[yₙ] + λ Σᵢ ‖Wᵢ,:‖₂, with b free, for a path of
strengths λ, each begun where the one above it ended. With far fewer rows than features almost all
Wᵢ are exactly zero, so each problem is solved on a working set of features, which grows by those
that violate the optimality conditions most until none does (as Massias, Gramfort and Salmon, 2018,
arXiv 1802.07481); ``raystudy.adapt.group_lasso_steps`` descends within it. The duality gap over all
features says when to stop.

Shapes: N rows, D features, A of them in the working set, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raystudy.adapt.group_lasso_steps import (
    Descent,
    best_shift,
    dual,
    row_sum,
    softmax,
)
from raystudy.kinds import Floats, Integers

Doubles = NDArray[np.float64]

TOLERANCE = 1e-3
"""How far above its minimum an objective may end, as a share of it."""
RATIO = 0.4
"""Of a strength to the one above it; between those that are asked for, others are put in."""
ROUGH = 0.1
"""Tolerance of those that are put in."""
FIRST_SIZE = 50
"""Features by which a working set grows at least."""


@dataclass(frozen=True)
class Solution:
    """Of one strength λ."""

    strength: float
    active_A: Integers
    """The features whose weights are not zero, ascending."""
    weights_AxC: Doubles
    bias_C: Doubles
    scores_D: Doubles
    """‖Wᵢ‖ where that is positive; otherwise minus how much the gradient lacks for the feature to
    enter, zero or less. So they rank all features."""
    objective: float
    gap: float
    """The objective lies at most this far above its minimum."""
    flops: float
    """Of matrix products, since the strength above it."""


def path(
    x_NxD: Floats,
    labels: Integers,
    num_classes: int,
    strengths: Sequence[float],
    tolerance: float = TOLERANCE,
    max_steps: int = 20_000,
) -> list[Solution]:
    """One for each of ``strengths``, in their order. ``labels`` lie in [0, C), and each class has a
    row.

    Matrix products are computed in the precision of ``x``; with float32 a ``tolerance`` below 1e-6
    is out of reach. Raises FloatingPointError, naming the strength, where ``max_steps`` do not do.
    """
    problem = _Problem(x_NxD, labels, num_classes)
    found = {}
    for strength in sorted(set(strengths), reverse=True):
        found[strength] = problem.solve(strength, tolerance, max_steps)
    return [found[strength] for strength in strengths]


def strongest(x_NxD: Floats, labels: Integers, num_classes: int) -> float:
    """The least λ at which all weights are zero: the largest ‖xᵢᵀ (p − Y)‖ / N where p is the
    frequency of each class."""
    return float(_Problem(x_NxD, labels, num_classes).norms_D.max())


def objective(
    x_NxD: Floats, labels: Integers, weights_DxC: Floats, bias_C: Floats, strength: float
) -> float:
    logits = np.asarray(x_NxD @ weights_DxC + bias_C, np.float64)
    return softmax(logits, one_hot(labels, logits.shape[1]))[1] + strength * row_sum(weights_DxC)


class _Problem:
    """Where the path stands: weights of the working set, bias, and the gradient of all features."""

    def __init__(self, x: Floats, labels: Integers, num_classes: int) -> None:
        self.x = x
        self.hot = one_hot(labels, num_classes)
        self.mean_D = x.mean(0, dtype=np.float64).astype(x.dtype)
        self.flops = 0.0
        self.working = np.zeros(0, np.int64)
        self.weights = np.zeros((0, num_classes))
        self.bias = np.log(self.hot.mean(0))
        self._see(np.tile(self.bias, (len(x), 1)))
        self.strength = float(self.norms_D.max())

    def solve(self, strength: float, tolerance: float, max_steps: int) -> Solution:
        value, gap = self._reach(strength, tolerance, max_steps)
        norms = np.linalg.norm(self.weights, axis=1)
        order = np.argsort(self.working)
        order = order[norms[order] > 0]
        active = self.working[order]
        scores = np.minimum(self.norms_D - strength, 0)
        scores[active] = norms[order]
        flops, self.flops = self.flops, 0.0
        weights = self.weights[order]
        return Solution(strength, active, weights, self.bias, scores, value, gap, flops)

    def _reach(self, strength: float, tolerance: float, max_steps: int) -> tuple[float, float]:
        """Go to the optimum of ``strength``; returns the objective and its gap."""
        left = max_steps
        if strength < RATIO * self.strength:  # by way of stronger ones, roughly
            self._reach(strength / RATIO, ROUGH, max_steps)
        self.strength = strength
        while True:
            value = self.loss + strength * row_sum(self.weights)
            gap = value - dual(self.shares, self.hot, strength, float(self.norms_D.max()))
            if gap <= tolerance * value:
                return value, gap
            if left <= 0:
                raise FloatingPointError(
                    f"the group lasso at λ={strength:g} ended {gap / value:.1e} of its objective "
                    f"above its minimum after {max_steps} steps; leave strengths this small out"
                )
            self._grow(strength)
            left -= self._descend(strength, max(0.3 * gap, 0.5 * tolerance * value), left)

    def _grow(self, strength: float) -> None:
        """Keep what is not zero, and add the features that violate the conditions most."""
        kept = self.weights.any(1)
        self.working, self.weights = self.working[kept], self.weights[kept]
        violation = self.norms_D - strength
        violation[self.working] = -np.inf
        num_added = min(FIRST_SIZE + len(self.working), int((violation > 0).sum()))
        if num_added:
            added = np.sort(np.argpartition(-violation, num_added - 1)[:num_added])
            self.working = np.concatenate([self.working, added])
            self.weights = np.vstack([self.weights, np.zeros((num_added, len(self.bias)))])

    def _descend(self, strength: float, enough: float, max_steps: int) -> int:
        """Solve on the working set until its gap is ``enough``; returns the steps it took."""
        x = self.x[:, self.working] - self.mean_D[self.working]
        self.flops += 2.0 * x.size  # the copy is centred, which the free bias makes up for
        bias = self.bias + self.mean_D[self.working].astype(np.float64) @ self.weights
        logits = np.asarray(x @ self.weights.astype(x.dtype), np.float64) + bias
        descent = Descent(x, self.hot, strength, self.weights, logits)
        descent.run(enough, max_steps)
        self.flops += 2.0 * x.size * self.hot.shape[1] * descent.num_products
        self.weights, logits = descent.weights_AxC, descent.logits_NxC
        self.bias = logits.mean(0) - self.mean_D[self.working].astype(np.float64) @ self.weights
        self._see(logits)
        return descent.num_steps

    def _see(self, logits: Doubles) -> None:
        """Loss, class probabilities and the norm of each feature's gradient (D,)."""
        shift = best_shift(logits, self.hot)
        self.bias = self.bias + shift
        self.shares, self.loss = softmax(logits + shift, self.hot)
        residual = ((self.shares - self.hot) / len(self.x)).astype(self.x.dtype)
        self.norms_D = np.linalg.norm(self.x.T @ residual, axis=1).astype(np.float64)
        self.flops += 2.0 * self.x.size * self.hot.shape[1]


def one_hot(labels: Integers, num_classes: int) -> Doubles:
    return (labels[:, None] == np.arange(num_classes)).astype(np.float64)
