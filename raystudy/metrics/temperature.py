"""Temperature scaling: one number that makes probabilities softer or harder (Guo et al. 2017, arXiv
1706.04599). Array shapes: N examples, C classes."""

from __future__ import annotations

import numpy as np

from raystudy.kinds import Floats, Integers, Scored
from raystudy.metrics.probabilities import BLOCK, Doubles, of_labels, shifted_blocks

RANGE = 1e3
"""The temperature lies within this factor of the logits' spread, both ways."""
TOLERANCE = 1e-9


def temperature(logits: Floats, labels: Integers) -> float:
    """The T > 0 for which the mean of −log softmax(logits / T) at ``labels`` is least.

    That is convex in 1/T; solved by Newton's method in 1/T, kept between the points already known
    to be too small and too large. Logits times c have c times the temperature.

    With s the logits' spread (root mean square deviation from their row's mean): s/1000 if every
    label has its row's largest logit, for then the harder the better; 1000·s if labels fare no
    better than chance, for then the softer the better; 1 if all logits of each row are equal; nan
    if a logit is not finite.

    Raises ValueError without examples, or for a label −1.
    """
    z = np.concatenate([block for _, block in shifted_blocks(logits)])
    if labels.min() < 0:
        raise ValueError("a temperature is fitted on examples of known classes; a label is −1")
    mean, z_label = z.mean(1), of_labels(z, labels)
    spread = float(np.sqrt(np.mean(np.einsum("nc,nc->n", z, z) / z.shape[1] - mean**2)))
    if not spread > 0:
        return 1.0 if spread == 0 else float("nan")
    if not z_label.any():
        return spread / RANGE
    if (mean - z_label).mean() >= 0:  # the slope of the loss at 1/T = 0
        return spread * RANGE
    z /= spread
    return spread / _root(z, float(z_label.mean()) / spread)


def fitted(scored: Scored) -> float:
    """Likewise of a split: ``scored.once(fitted)`` solves it once for all metrics."""
    return temperature(scored.logits, scored.labels)


def scaled(scored: Scored, temperature: float) -> Scored:
    """The split with its logits divided, in float64; ``scored.once(scaled, temperature)`` keeps
    what metrics share of it."""
    return Scored(scored.logits / np.float64(temperature), scored.labels)


def _root(z: Doubles, target: float) -> float:
    """The β = 1/T within ``RANGE`` at which the mean of z (N, C) under softmax(β·z) is ``target``.

    That mean rises with β; its slope is the variance of z.
    """
    low, high, beta = 1 / RANGE, RANGE, 1.0
    for _ in range(100):
        mean, variance = _moments(z, beta)
        low, high = (beta, high) if mean < target else (low, beta)
        before = beta
        beta = beta + (target - mean) / variance if variance > 0 else np.inf
        if not low <= beta <= high:
            beta = float(np.sqrt(low * high))
        if abs(beta - before) <= TOLERANCE * before:
            break
    return beta


def _moments(z: Doubles, beta: float) -> tuple[float, float]:
    """Mean and variance of each row of z under softmax(β·z), averaged over rows."""
    step = max(1, BLOCK // z.shape[1])
    mean = variance = 0.0
    for start in range(0, len(z), step):
        block = z[start : start + step]
        weight = np.exp(beta * block)
        total = weight.sum(1)
        weight *= block
        first = weight.sum(1) / total
        mean += first.sum()
        variance += (np.einsum("nc,nc->n", weight, block) / total - first**2).sum()
    return mean / len(z), variance / len(z)
