"""What predictions say of themselves: how probable they hold the predicted class, and which of them
are right.

All in float64 and stable for any finite logits. ``scored.once(top)`` computes for many metrics what
they share; only arrays of N numbers are kept, and N × C probabilities are seen a block at a time.
Array shapes: N examples, C classes, n of a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raystudy.kinds import Floats, Integers, Scored

Doubles = NDArray[np.float64]

DIGITS = 12
"""To which confidences are rounded: what is equally probable stays so, whatever order its
exponentials are summed in."""
BLOCK = 1 << 16
"""Probabilities at a time: half a megabyte stays in a core's cache."""


@dataclass(frozen=True)
class Top:
    """Of each example the largest probability (N,), to 12 digits; whether that class is the label
    (N,); and the Brier score Σ_c (p_c − y_c)² (N,)."""

    confidence: Doubles
    hit: NDArray[np.bool_]
    brier: Doubles


@dataclass(frozen=True)
class Ranked:
    """Confidences from the highest to the lowest (N,), and whether each is right (N,), where what
    is equally confident has the mean of its hits. A sum over the first k is then what it would be
    on average over all orders of these."""

    confidence: Doubles
    hit: Doubles


def top(scored: Scored) -> Top:
    """Where two classes are equally probable, the predicted one is that of the larger logit, and
    then the first, as it is for accuracy. Raises ValueError without examples or classes."""
    logits, labels = scored.logits, scored.labels
    confidence, brier = np.empty(len(logits)), np.empty(len(logits))
    for rows, p in softmax_blocks(logits):
        confidence[rows] = p.max(1).round(DIGITS)
        p_label = of_labels(p, labels[rows])
        others = np.maximum(np.einsum("nc,nc->n", p, p) - p_label**2, 0)
        brier[rows] = (1 - p_label) ** 2 + others
    return Top(confidence, logits.argmax(1) == labels, brier)


def ranked(scored: Scored) -> Ranked:
    found = scored.once(top)
    order = np.argsort(-found.confidence)
    confidence = found.confidence[order]
    starts, sizes = ties(confidence)
    hits = np.add.reduceat(found.hit[order].astype(np.float64), starts)
    return Ranked(confidence, np.repeat(hits / sizes, sizes))


def ties(ordered: Doubles) -> tuple[Integers, Integers]:
    """Runs of equal values: where each begins, and how long it is."""
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    return starts, np.diff(np.r_[starts, len(ordered)])


def softmax_blocks(logits: Floats) -> Iterator[tuple[slice, Doubles]]:
    """Rows and their probabilities (n, C), which the caller may overwrite."""
    for rows, p in shifted_blocks(logits):
        np.exp(p, out=p)
        p /= p.sum(1, keepdims=True)
        yield rows, p


def shifted_blocks(logits: Floats) -> Iterator[tuple[slice, Doubles]]:
    """Rows and their logits (n, C) less the largest of each, so that no exponential overflows.
    Raises ValueError if there are none."""
    if logits.ndim != 2 or not logits.size:
        raise ValueError(f"logits must be (N, C) with N, C ≥ 1, to be judged; got {logits.shape}")
    step = max(1, BLOCK // logits.shape[1])
    for start in range(0, len(logits), step):
        rows = slice(start, start + step)
        block = logits[rows].astype(np.float64)
        block -= block.max(1, keepdims=True)
        yield rows, block


def of_labels(values: NDArray, labels: Integers) -> NDArray:
    """Of each row of ``values`` (N, C) the entry of its label: (N,)."""
    return values[np.arange(len(labels)), labels]
