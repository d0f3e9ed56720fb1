"""Multinomial logistic regression with an L2 penalty: all strengths of a problem at once, exactly.

min over (W, b) of Σᵢ −log softmax(xᵢ W + b)[yᵢ] + λ/2 ‖W‖². A strength is scikit-learn's C = 1/λ;
of two classes scikit-learn penalises the one vector of weights that tells them apart: C = 2/λ.

Newton's method, inexact (Dembo, Eisenstat and Steihaug 1982): its steps come from conjugate
gradients. Strengths share every product with the rows, which is then wide enough to be fast. What
makes it converge in a few products, whatever the strength and the spectrum of the features, is the
preconditioner. Coordinates are principal axes (``raystudy.adapt.span``): where an axis has little
variance beside λ, the Hessian is nearly diagonal; on the others, the Hessian of each class by
itself is inverted.

Shapes: N rows, R coordinates (the last is the constant one), K classes, S strengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raystudy.kinds import Integers

Doubles = NDArray[np.float64]

TOLERANCE = 1e-10
"""How far above its minimum an objective may end, as a share of it."""
ROUNDING = 1e-15
"""How exactly the loss of one row is known."""
MAX_INNER = 500
"""Conjugate gradients of one Newton step; one that is cut short is still a descent."""
FLAT = 64.0
"""An axis is left to the diagonal where its squares add up to less than this many λ."""
FEW_INNER = 5
"""A preconditioner that needs no more conjugate gradients than these serves another step."""
MAX_INVERTED = 2**22
"""Numbers in the inverted Hessians of one strength."""
MAX_LOGITS = 2**23
"""Numbers in the logits of the strengths that are solved together, unless there is only one."""


@dataclass(frozen=True)
class Optima:
    """For S strengths, in the order they were asked for."""

    weights_SxRxK: Doubles
    """The last coordinate's are the intercepts."""
    num_products_S: Integers
    """Products with the rows (N × R by R × K) that each took."""


def solve(
    x_NxR: Doubles,
    targets_N: Integers,
    num_classes: int,
    strengths: Sequence[float],
    max_steps: int,
) -> Optima:
    """``x``'s last coordinate is 1; the others have columns that are orthogonal to it and to each
    other, the longest last. ``targets`` lie in [0, K), and each class has a row.

    Raises FloatingPointError, naming the strength, if an objective is not finite or ``max_steps``
    of Newton's method did not end within ``TOLERANCE`` of its minimum.
    """
    together = max(1, MAX_LOGITS // (len(x_NxR) * num_classes))
    parts = [
        _solve(x_NxR, targets_N, num_classes, strengths[first : first + together], max_steps)
        for first in range(0, len(strengths), together)
    ]
    return Optima(
        np.concatenate([part.weights_SxRxK for part in parts]),
        np.concatenate([part.num_products_S for part in parts]),
    )


def _solve(
    x_NxR: Doubles,
    targets_N: Integers,
    num_classes: int,
    strengths: Sequence[float],
    max_steps: int,
) -> Optima:
    C = np.array(strengths, np.float64)
    penalties = (2 if num_classes == 2 else 1) / C
    hot = (targets_N[:, None, None] == np.arange(num_classes)).astype(np.float64)
    squares = np.einsum("nr,nr->r", x_NxR, x_NxR)
    w = np.zeros((x_NxR.shape[1], len(C), num_classes))
    # Where the penalty is infinite, the optimum is the frequency of each class.
    w[-1] = np.log(hot.mean((0, 1)))
    found, num_products = np.empty_like(w), np.ones(len(C), np.int64)
    now = _Point(w, _times(x_NxR, w), penalties, np.arange(len(C)))
    inverses: list[_Inverse | None] = [None] * len(C)
    size, num_inner = np.full(len(C), np.inf), np.full(len(C), MAX_INNER)
    for _ in range(max_steps):
        shares, objective = _evaluate(now.w, now.logits, hot, now.penalties)
        if len(lost := now.of[~np.isfinite(objective)]):
            raise FloatingPointError(f"the loss is not finite at C={C[lost[0]]:g}")
        gradient = _times(x_NxR.T, shares - hot) + _ridge(now.penalties, now.w)
        num_products[now.of] += 1
        going = _gap(gradient, now.w, now.penalties) > TOLERANCE * objective + ROUNDING * len(hot)
        if not going.all():
            found[:, now.of[~going]] = now.w[:, ~going]
            if not going.any():
                return Optima(found.swapaxes(0, 1), num_products)
            now, objective = now.take(going), objective[going]
            shares, gradient = shares[:, going], gradient[:, going]
            size, num_inner = size[going], num_inner[going]
            inverses = [inverse for inverse, on in zip(inverses, going, strict=True) if on]
        fresh = [
            inverse
            if inverse and num_inner[s] <= FEW_INNER
            else _Inverse(x_NxR, squares, shares[:, s], now.penalties[s])
            for s, inverse in enumerate(inverses)
        ]
        inverses = [*fresh]
        step, of_logits, size, num_inner = _direction(
            x_NxR, fresh, shares, gradient, objective, now, size
        )
        num_products[now.of] += 2 * num_inner
        length = _length(hot, now, objective, gradient, step, of_logits)
        now = _Point(now.w + length * step, now.logits + length * of_logits, now.penalties, now.of)
    raise FloatingPointError(
        f"logistic regression did not converge at C={C[now.of][0]:g} in {max_steps} Newton steps; "
        "allow more (max_iterations) or leave that strength out"
    )


@dataclass(frozen=True)
class _Point:
    """Where the strengths are that have not converged."""

    w: Doubles
    """(R, S, K)"""
    logits: Doubles
    """(N, S, K)"""
    penalties: Doubles
    of: Integers
    """Which of all strengths they are."""

    def take(self, those: NDArray) -> _Point:
        w, logits = self.w[:, those], self.logits[:, those]
        return _Point(w, logits, self.penalties[those], self.of[those])


def _direction(
    x: Doubles,
    inverses: Sequence[_Inverse],
    shares: Doubles,
    gradient: Doubles,
    objective: Doubles,
    now: _Point,
    before: Doubles,
) -> tuple[Doubles, Doubles, Doubles, Integers]:
    """Newton's step (R, S, K) as far as it is worth solving for, what it does to the logits
    (N, S, K), the gradient's size (S,) as the preconditioner measures it, which was ``before`` a
    step ago, and the conjugate gradients that it took (S,)."""
    step, of_logits = np.zeros_like(gradient), np.zeros_like(shares)
    num_inner, live = np.zeros(len(objective), np.int64), np.arange(len(objective))
    w, penalties = now.w, now.penalties
    residual = -gradient
    towards = _apply(inverses, residual)
    size = sizes = _dot(residual, towards)
    # No more precise than the last step came out (Eisenstat and Walker 1996, choice 2).
    enough = size * np.minimum(0.1, 0.8 * (size / before) ** 1.6)
    for _ in range(MAX_INNER):
        along = _times(x, towards)
        weighted = shares * along
        weighted -= shares * weighted.sum(-1, keepdims=True)
        curved = _times(x.T, weighted) + _ridge(penalties, towards)
        rate = (size / _dot(towards, curved))[:, None]
        step[:, live] += rate * towards
        of_logits[:, live] += rate * along
        num_inner[live] += 1
        residual = residual - rate * curved
        improved = _apply(inverses, residual)
        new_size = _dot(residual, improved)
        going = (new_size > enough) & (_gap(residual, w, penalties) > 0.1 * TOLERANCE * objective)
        if not going.any():
            break
        towards = improved + (new_size / size)[:, None] * towards
        size = new_size
        if not going.all():
            live, size, enough, objective = (
                live[going],
                size[going],
                enough[going],
                objective[going],
            )
            inverses = [inverse for inverse, on in zip(inverses, going, strict=True) if on]
            residual, towards = residual[:, going], towards[:, going]
            w, penalties, shares = w[:, going], penalties[going], shares[:, going]
    return step, of_logits, sizes, num_inner


class _Inverse:
    """Of nearly the Hessian of one strength: on the axes that matter, of each class by itself."""

    def __init__(self, x: Doubles, squares: Doubles, shares: Doubles, penalty: float) -> None:
        K = shares.shape[1]
        weights = shares * (1 - shares)
        M = 1 + int((squares[:-1] > FLAT * penalty).sum())
        self.num_top = M = min(M, int((MAX_INVERTED / K) ** 0.5) + 1)
        top = x[:, -M:]
        hessians = np.empty((K, M, M))
        for k in range(K):
            hessians[k] = top.T @ (weights[:, k, None] * top)
        diagonal = np.arange(M)
        hessians[:, diagonal[:-1], diagonal[:-1]] += penalty
        # A class that is never in doubt leaves its intercept free.
        hessians[:, -1, -1] += 1e-9 * (hessians.trace(axis1=1, axis2=2) + penalty)
        self.top = np.linalg.inv(hessians)
        self.rest = 1 / (squares[:-M, None] * weights.mean(0) + penalty)

    def __call__(self, r_RxK: Doubles) -> Doubles:
        M = self.num_top
        out = np.empty_like(r_RxK)
        out[:-M] = r_RxK[:-M] * self.rest
        out[-M:] = (self.top @ r_RxK[-M:].T[:, :, None])[:, :, 0].T
        return out


def _apply(inverses: Sequence[_Inverse], r: Doubles) -> Doubles:
    # Adding a constant to the weights of all classes changes no share: no step goes that way.
    r = r - r.mean(-1, keepdims=True)
    out = np.stack([inverse(r[:, s]) for s, inverse in enumerate(inverses)], axis=1)
    out -= out.mean(-1, keepdims=True)
    return out


def _length(
    hot: Doubles,
    now: _Point,
    objective: Doubles,
    gradient: Doubles,
    step: Doubles,
    of_logits: Doubles,
) -> Doubles:
    """The first of 1, 1/2, 1/4, … of the step that lowers the objective enough. (S, 1)"""
    slope = _dot(gradient, step)
    # Close to the minimum the difference drowns in rounding, and the step is right.
    rounding = 1e-13 * objective + ROUNDING * len(hot)
    length = np.ones((len(slope), 1))
    for _ in range(40):
        reached = _evaluate(
            now.w + length * step, now.logits + length * of_logits, hot, now.penalties
        )[1]
        short = ~(reached <= objective + 1e-4 * length[:, 0] * slope + rounding)
        if not short.any():
            break
        length[short] /= 2
    return length


def _evaluate(
    w: Doubles, logits: Doubles, hot: Doubles, penalties: Doubles
) -> tuple[Doubles, Doubles]:
    """Shares (N, S, K) and objectives (S,)."""
    shifted = logits - logits.max(-1, keepdims=True)
    shares = np.exp(shifted)
    total = shares.sum(-1, keepdims=True)
    shares /= total
    loss = np.log(total).sum((0, 2)) - np.einsum("nsk,nok->s", shifted, hot)
    return shares, loss + 0.5 * _dot(_ridge(penalties, w), w)


def _gap(gradient: Doubles, w: Doubles, penalties: Doubles) -> Doubles:
    """A bound on how far the objective lies above its minimum: minimised over the intercepts, it
    is strongly convex in the other weights with modulus λ. (S,)"""
    inner = gradient[:-1]
    shift = (np.abs(gradient[-1]) * (1 + np.abs(w[-1]))).sum(-1)
    return _dot(inner, inner) / (2 * penalties) + shift


def _ridge(penalties: Doubles, w: Doubles) -> Doubles:
    """The penalty's gradient, which the intercepts do not have."""
    out = penalties[:, None] * w
    out[-1] = 0
    return out


def _times(x: Doubles, columns: Doubles) -> Doubles:
    """(N, R), (R, S, K) → (N, S, K)"""
    return (x @ columns.reshape(len(columns), -1)).reshape(-1, *columns.shape[1:])


def _dot(a: Doubles, b: Doubles) -> Doubles:
    return np.einsum("isk,isk->s", a, b)
