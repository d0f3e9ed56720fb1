"""Zero-shot classifiers: modules from features to logits, from which fine-tuning can go on."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize


class Cosine(nn.Linear):
    """(N, E) → (N, C): the scaled cosine to each class, CLIP's classifier.

    Args:
        classes_CxD: of length one.
        scale: of the logits, one number.
        bias: added to every logit, one number.
    """

    def __init__(self, classes_CxD: Tensor, scale: Tensor, bias: Tensor | float = 0.0) -> None:
        C, D = classes_CxD.shape
        super().__init__(D, C, device="meta")  # nothing is drawn
        self.weight = nn.Parameter(scale * classes_CxD)
        self.bias = nn.Parameter(torch.zeros_like(self.weight[:, 0]) + bias)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(normalize(input, dim=-1))


def rows_of(head: nn.Linear, rows: list[int]) -> nn.Linear:
    """A layer (N, D) → (N, len(rows)) with those classes of ``head``, in that order."""
    layer = nn.Linear(head.in_features, len(rows), device="meta")
    layer.weight = nn.Parameter(head.weight.detach()[rows].clone())
    layer.bias = nn.Parameter(head.bias.detach()[rows].clone())
    return layer
