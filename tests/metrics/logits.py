"""Logits to judge metrics by: at random, calibrated, and made to break them."""

from __future__ import annotations

from typing import Any

import numpy as np

Case = tuple[Any, Any]
"""Logits of any precision, labels."""


def calibrated(num_examples: int, seed: int, num_classes: int = 10, spread: float = 2.0) -> Case:
    """Labels drawn from the probabilities themselves."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(num_examples, num_classes)) * spread
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    labels = (p.cumsum(1) < rng.random((num_examples, 1))).sum(1)
    return logits, np.minimum(labels, num_classes - 1)


def random(num_examples: int, num_classes: int, seed: int, scale: float = 3.0) -> Case:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(num_examples, num_classes)) * scale
    return logits, rng.integers(num_classes, size=num_examples)


def cases() -> dict[str, Case]:
    logits, labels = random(400, 7, 1)
    half, _ = random(300, 5, 2)
    sure = np.zeros((50, 4))
    sure[np.arange(50), np.arange(50) % 4] = 1e4
    return {
        "random": (logits, labels),
        "calibrated": calibrated(1000, 3),
        "single precision": (logits.astype(np.float32), labels),
        "half precision": (half.astype(np.float16), labels[:300] % 5),
        "confidence of 1, all right": (sure, np.arange(50) % 4),
        "confidence of 1, all wrong": (sure, (np.arange(50) + 1) % 4),
        "confidence of 1, one in three right": (sure, np.arange(50) % 4 * (np.arange(50) % 3 == 0)),
        "far below zero": (logits - 1e4, labels),
        "far apart": (logits * 1e3, labels),
        "all alike": (np.zeros((30, 4)), np.arange(30) % 4),
        "ties": (np.round(logits), labels),
        "two classes": random(200, 2, 5),
        "one class": (np.full((20, 1), -1e4), np.zeros(20, np.int64)),
        "one example": (logits[:1], labels[:1]),
        "fewer examples than bins": (logits[:6], labels[:6]),
        "a class that never occurs": (logits, labels % 3),
    }


CASES = cases()
