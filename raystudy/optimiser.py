"""Optimisers, their learning rate over time, and the moving average of what they move."""

import math
from typing import Any

import torch
from torch import nn

from raystudy.spec import Optimisation


def build_optimiser(objective: nn.Module, o: Optimisation) -> torch.optim.Optimizer:
    """Vectors and scalars (biases, norms, temperature) are neither decayed nor, by LARS, scaled."""
    matrices = [p for p in objective.parameters() if p.ndim > 1]
    others = [p for p in objective.parameters() if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": o.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    match o.optimiser:
        case "adamw":
            return torch.optim.AdamW(groups, betas=o.betas, eps=o.epsilon, fused=True)
        case "sgd":
            return torch.optim.SGD(groups, momentum=o.momentum)
        case "lars":  # You et al. 2017 (arXiv 1708.03888); not adaptive where nothing is decayed
            from timm.optim.lars import Lars

            return Lars(groups, momentum=o.momentum)  # pyright: ignore[reportArgumentType]


def scheduled_rate(step: int, num_steps: int, o: Optimisation) -> float:
    """The learning rate of ``step``: linear warm-up, then the schedule down to zero."""
    warmup = o.num_warmup_steps(num_steps)
    if step < warmup:
        return o.learning_rate * (step + 1) / (warmup + 1)
    if o.schedule == "cosine":
        progress = (step - warmup) / max(1, num_steps - warmup)
        return o.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
    decay = o.num_decay_steps(num_steps)
    progress = max(0.0, (step - (num_steps - decay)) / max(1, decay))
    return o.learning_rate * (1 - math.sqrt(progress))


class Average:
    """An exponential moving average of an objective's weights; its buffers as they are."""

    def __init__(self, objective: nn.Module, decay: float) -> None:
        self._decay = decay
        self._live = list(objective.parameters())
        self.values = [p.detach().clone() for p in self._live]

    @torch.no_grad()
    def update(self) -> None:
        live = [p.detach() for p in self._live]
        torch._foreach_lerp_(self.values, live, 1 - self._decay)  # pyright: ignore[reportPrivateImportUsage]

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the average and the weights, so that either can be read as the objective."""
        for value, live in zip(self.values, self._live, strict=True):
            kept = live.detach().clone()
            live.copy_(value)
            value.copy_(kept)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate
