"""Losses that bear wrong labels better than cross-entropy does.

Shapes: N examples, C classes. Targets are probabilities (N, C), one-hot where nothing was mixed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from raystudy.kinds import Spec

if TYPE_CHECKING:
    from torch import Tensor


class GCE(Spec):
    """Generalised cross-entropy, (1 − pᵠ) / q for the probability p of the label: cross-entropy as
    q → 0, half the absolute error at q = 1 (Zhang & Sabuncu 2018, arXiv 1805.07836)."""

    q: Annotated[float, Field(gt=0, le=1)] = 0.7

    @property
    def name(self) -> str:
        return f"gce-{self.q:g}"

    def loss(self, logits_NxC: Tensor, targets_NxC: Tensor) -> Tensor:
        """The mean over examples."""
        import torch

        # expm1 keeps what 1 − pᵠ would lose where pᵠ is close to one.
        each_NxC = -torch.expm1(self.q * logits_NxC.log_softmax(1)) / self.q
        return (targets_NxC * each_NxC).sum(1).mean()


class SCE(Spec):
    """Symmetric cross-entropy, α H(target, p) + β H(p, target) (Wang et al. 2019, arXiv
    1908.06112)."""

    alpha: Annotated[float, Field(ge=0)] = 0.1
    beta: Annotated[float, Field(ge=0)] = 1.0
    floor: Annotated[float, Field(gt=0, lt=1)] = 1e-4
    """What a target of zero counts as in the second term; its logarithm is the paper's A."""

    @property
    def name(self) -> str:
        return f"sce-{self.alpha:g}-{self.beta:g}"

    def loss(self, logits_NxC: Tensor, targets_NxC: Tensor) -> Tensor:
        """The mean over examples."""
        log_p_NxC = logits_NxC.log_softmax(1)
        forward_N = -(targets_NxC * log_p_NxC).sum(1)
        log_targets_NxC = targets_NxC.log().clamp(min=math.log(self.floor))
        reverse_N = -(log_p_NxC.exp() * log_targets_NxC).sum(1)
        return (self.alpha * forward_N + self.beta * reverse_N).mean()
