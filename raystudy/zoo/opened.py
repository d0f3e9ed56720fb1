"""A backbone opened: its module, how it sees images, and what it reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from raystudy.spec import Preprocessing

Classifier = Callable[[Tensor], Tensor]
"""Features (N, D) to logits (N, C)."""


@dataclass(frozen=True)
class Opened:
    """A backbone in evaluation mode, (N, 3, S, S) → (N, D), with what it knows."""

    backbone: nn.Module
    preprocessing: Preprocessing
    classifier: Callable[[Sequence[Sequence[str]]], Classifier | None]
    """From prompts (``Task.prompts``); None where it knows no names."""
