"""Head2Toe's head as a module, which trains together with the backbone below it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from raystudy.adapt.selected_head import LEFT_OUT, Head


class SelectedLayer(nn.Module):
    """Features of all layers (N, D) → logits (N, C), as ``Head.logits`` computes them."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        widths = np.unique(head.group_of_K, return_counts=True)[1]
        self._widths: list[int] = widths.tolist()
        self._num_classes = head.num_classes
        self.kept_K: Tensor
        self.register_buffer("kept_K", torch.from_numpy(head.kept_K))
        self.classes: Tensor
        self.register_buffer("classes", torch.from_numpy(head.classes))
        self.weights_KxC = nn.Parameter(torch.from_numpy(head.weights_KxC).float())
        self.bias_C = nn.Parameter(torch.from_numpy(head.bias_C).float())

    @classmethod
    def of(cls, predict: Any) -> SelectedLayer:
        """From what ``Head2Toe`` predicts with: the method of a ``Head``."""
        head = getattr(predict, "__self__", None)
        assert isinstance(head, Head)
        return cls(head)

    def forward(self, features_NxD: Tensor) -> Tensor:
        kept = features_NxD[:, self.kept_K].split(self._widths, dim=1)
        x_NxK = torch.cat([_unit(group) for group in kept], 1)
        logits = x_NxK.new_full((len(x_NxK), self._num_classes), LEFT_OUT)
        known = x_NxK @ self.weights_KxC + self.bias_C
        return logits.index_copy(1, self.classes, known.to(logits.dtype))


def _unit(group_NxG: Tensor) -> Tensor:
    """Of length one; all zeros stay zeros, and their gradient finite."""
    largest = group_NxG.detach().abs().amax(1, keepdim=True)
    scaled = group_NxG / torch.where(largest > 0, largest, 1)
    norms = torch.linalg.vector_norm(scaled, dim=1, keepdim=True)
    return scaled / torch.where(norms > 0, norms, 1)
