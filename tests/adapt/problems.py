"""Labelled features made on the spot, and what an independent hand would do with them."""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from raystudy.kinds import Adapted, Encoder, Examples, Floats, Probe, Support

ENCODER = cast(Encoder, None)
"""These probes look at features alone."""


def features(
    num_examples: int,
    num_features: int = 12,
    num_classes: int = 4,
    apart: float = 1.0,
    seed: int = 0,
) -> Examples:
    """Gaussian classes of one set of means, correlated and off centre; classes take turns, so that
    every prefix is balanced. Examples of other seeds are other draws of the same classes."""
    shape, rng = np.random.default_rng(99), np.random.default_rng([seed, num_examples])
    mixing = shape.normal(size=(num_features, num_features)) / np.sqrt(num_features)
    means = apart * shape.normal(size=(num_classes, num_features))
    labels = np.arange(num_examples) % num_classes
    x = (means[labels] + rng.normal(size=(num_examples, num_features))) @ mixing + 3.0
    return Examples([f"{seed}-{i}" for i in range(num_examples)], x.astype(np.float32), labels)


def support(train: Any, validation: Any, seed: int = 0) -> Support:
    return Support(np.array(train, np.int64), np.array(validation, np.int64), seed)


def adapt(probe: Probe, train: Examples, validation: Examples, num_classes: int = 4) -> Adapted:
    adapted = probe.adapt(train, validation, ENCODER, prompts(num_classes), seed=0)
    assert adapted is not None
    return adapted


def adapt_all(
    probe: Probe,
    train: Examples,
    validation: Examples,
    supports: list[Support],
    num_classes: int = 4,
) -> list[Adapted]:
    found = probe.adapt_all(train, validation, supports, ENCODER, prompts(num_classes))
    return [adapted for adapted in found if adapted is not None]


def prompts(num_classes: int) -> list[tuple[str, ...]]:
    return [(f"class {c}",) for c in range(num_classes)]


def standardised(train: Examples, others: Floats) -> NDArray[np.float64]:
    """As the probes that standardise say they do: by ``train``, with a floor on the deviation."""
    x = train.array.astype(np.float64)
    deviation = x.std(0)
    floor = 0.1 * np.sqrt((deviation**2).mean())
    return (others - x.mean(0)) / np.maximum(deviation, floor + 1e-12)


def shares(logits: Floats) -> NDArray[np.float64]:
    exps = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return exps / exps.sum(1, keepdims=True)
