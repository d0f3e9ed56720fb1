"""How well a score tells what is of the task's classes (ID) from what is of none (OOD).

Array shapes: N examples, C classes, I known, O unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from raystudy.kinds import Floats, Integers, Scored, labelled
from raystudy.metrics.probabilities import Doubles, shifted_blocks, top

Score = Literal["msp", "energy", "max_logit"]
"""Higher for the known: the maximum of softmax (Hendrycks and Gimpel 2017), log Σ exp of the logits
(Liu et al. 2020), the largest logit (Hendrycks et al. 2022)."""
Separation = Callable[[Doubles, Doubles], float]
"""Scores of ID (I,) and OOD (O,) examples to a number."""


def judge_unknown(
    judged: Separation, score: Score, split: str, scored: Mapping[str, Scored]
) -> float | None:
    """Of the scores of the test split and of ``split``, or None unless the latter's labels are −1
    throughout and the former's nowhere. Raises ValueError if either has no example."""
    if labelled(split, scored) or scored[split].labels.max() >= 0:
        return None
    known = labelled("test", scored)
    return judged(known.once(_scores, score), scored[split].once(_scores, score)) if known else None


def judge_rows(judged: Separation, score: Score, logits: Floats, labels: Integers) -> float:
    """Of rows with a label and rows with −1. Raises ValueError if there are none of either."""
    unknown = labels < 0
    if not unknown.any() or unknown.all():
        raise ValueError("known and unknown are told apart: labels must hold both −1 and classes")
    scores = _scores(Scored(logits, labels), score)
    return judged(scores[~unknown], scores[unknown])


def suffix(score: Score) -> str:
    """What it adds to the name of a metric: nothing to the default."""
    return "" if score == "msp" else f"_{score}"


def _scores(scored: Scored, score: Score) -> Doubles:
    """(N,); nan where a logit of the row is not finite."""
    logits = scored.logits
    if score == "msp":
        return scored.once(top).confidence
    largest = logits.max(1).astype(np.float64)
    if score == "max_logit":
        return largest
    return largest + np.concatenate([np.log(np.exp(z).sum(1)) for _, z in shifted_blocks(logits)])
