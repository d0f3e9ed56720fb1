"""Least squares within a box for a batch of small problems: what variable projection solves for.

Shapes: B problems, K unknowns, N points.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from raystudy.laws.arrays import Doubles

RIDGE = 1e-14


def box_least_squares(
    terms_BKN: Doubles, target_BN: Doubles, weights_BN: Doubles, low_K: Doubles, high_K: Doubles
) -> Doubles:
    """The a in [low, high] of least Σ w (target − Σ_k a_k·term_k)² of each problem, (B, K).

    K is small (3 at most in the forms here), so every choice of unknowns that lie on a bound is
    tried where the free solution breaks one: the problem is convex, and the best feasible is it.
    """
    weighted = terms_BKN * weights_BN[:, None]
    gram = weighted @ terms_BKN.swapaxes(1, 2)
    right = (weighted @ target_BN[..., None])[..., 0]
    scale = np.sqrt(np.maximum(np.einsum("bkk->bk", gram), np.finfo(float).tiny))
    gram = gram / (scale[:, :, None] * scale[:, None])
    right, low, high = right / scale, low_K * scale, high_K * scale
    free = _solve(gram, right)
    wrong = np.flatnonzero(~((free >= low) & (free <= high)).all(1))
    if len(wrong):
        free[wrong] = _on_bounds(gram[wrong], right[wrong], low[wrong], high[wrong])
    return free / scale


def _on_bounds(gram: Doubles, right: Doubles, low: Doubles, high: Doubles) -> Doubles:
    best, least = np.clip(0.0, low, high), np.full(len(gram), np.inf)
    for states in product(*([0, *_ends(lo, hi)] for lo, hi in zip(low[0], high[0], strict=True))):
        state = np.array(states)
        held = state != 0
        if not held.any():
            continue
        found = np.where(state < 0, low, np.where(state > 0, high, 0.0))
        if not held.all():
            inner = gram[:, ~held][:, :, ~held]
            pull = right[:, ~held] - (gram[:, ~held][:, :, held] @ found[:, held, None])[..., 0]
            found[:, ~held] = _solve(inner, pull)
        inside = ((found >= low) & (found <= high)).all(1)
        value = 0.5 * np.einsum("bk,bkl,bl->b", found, gram, found) - (right * found).sum(1)
        better = inside & (value < least)
        best[better], least[better] = found[better], value[better]
    return best


def _ends(low: float, high: float) -> list[int]:
    return [side for side, end in ((-1, low), (1, high)) if np.isfinite(end)]


def _solve(gram: Doubles, right: Doubles) -> Doubles:
    """Of matrices with a unit diagonal."""
    ridge = RIDGE * np.eye(gram.shape[-1])
    return np.asarray(np.linalg.solve(gram + ridge, right[..., None])[..., 0], dtype=np.float64)
