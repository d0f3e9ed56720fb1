"""A backbone opened: its module, how it sees images, and what it reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from raystudy.spec import Preprocessing


@dataclass(frozen=True)
class Opened:
    """A backbone in evaluation mode, with what it knows: (N, 3, S, S) → (N, D), or tokens (N, T) →
    logits (N, T, V)."""

    backbone: nn.Module
    preprocessing: Preprocessing | None
    """None of one that reads tokens."""
    classifier: Callable[[Sequence[Sequence[str]]], nn.Module | None]
    """From prompts (``Task.prompts``) to a module, features (N, D) → logits (N, C); None where it
    knows no names."""
