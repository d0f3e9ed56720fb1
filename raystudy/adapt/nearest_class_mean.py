"""Nearest class mean: a class is the mean of its examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from raystudy.adapt.affine import Affine
from raystudy.adapt.standardise import require_finite, unit
from raystudy.kinds import Adapted, Encoder, Examples, Floats, Probe, Support

Doubles = NDArray[np.float64]


class NearestClassMean(Probe):
    """The class whose mean is nearest, with nothing to choose and no validation data.

    ``euclidean``: logits are −‖x − μ‖² (Snell et al. 2017, arXiv 1703.05175), less what is the same
    for every class. ``cosine``: the cosine between x and the mean of the class's examples, each
    brought to length one (Wang et al. 2019, arXiv 1911.04623, without centring). Neither has the
    scale of a log-likelihood. Features are taken as they are; classes without a training example
    get logits of −1e4, or less.

    Costs: ``flops`` of adding up the examples; ``stored_bytes`` of the means in single precision.
    """

    distance: Literal["euclidean", "cosine"] = "euclidean"

    @property
    def name(self) -> str:
        return "nearest-class-mean" + ("-cosine" if self.distance == "cosine" else "")

    def adapt_all(
        self,
        train: Examples,
        validation: Examples,
        supports: Sequence[Support],
        encoder: Encoder,
        prompts: Sequence[Sequence[str]],
    ) -> Sequence[Adapted]:
        return [self._adapted(train.take(s.train), len(prompts)) for s in supports]

    def _adapted(self, support: Examples, num_classes: int) -> Adapted:
        if not len(support):
            raise ValueError("a support has no training example; give a probe at least one")
        classes = np.unique(support.labels)
        features = support.array.astype(np.float64)
        require_finite(features)
        if self.distance == "cosine":
            features = unit(features)
        means_KxD = np.stack([features[support.labels == c].mean(0) for c in classes])
        if self.distance == "cosine":
            predict = Cosine(
                Affine(unit(means_KxD).T, np.zeros(len(classes)), classes, num_classes)
            )
        else:
            predict = _euclidean(means_KxD, classes, num_classes)
        cost = {"flops": float(features.size), "stored_bytes": 4.0 * means_KxD.size}
        return Adapted(predict, {}, cost=cost)


@dataclass(frozen=True)
class Cosine:
    """Features (N, D) → logits (N, C)."""

    of_unit_features: Affine

    def __call__(self, features: Floats) -> Floats:
        return self.of_unit_features(unit(features.astype(np.float64)))


def _euclidean(means_KxD: Doubles, classes: NDArray[np.int64], num_classes: int) -> Affine:
    """−‖x − μ‖² + ‖x − m‖², with m the mean of the means: affine in x, and small numbers."""
    middle = means_KxD.mean(0)
    apart = means_KxD - middle
    bias = -2 * apart @ middle - (apart**2).sum(1)
    return Affine(2 * apart.T, bias, classes, num_classes)
