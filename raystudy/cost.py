"""What a pre-training costs before it has run: operations and bytes, counted and not timed.

The objective is built on torch's meta device, where tensors have shapes and no values, and one
forward and backward pass is counted there; so counting a large model takes a second and no memory.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from raystudy.kinds import Method, Network
from raystudy.spec import Optimisation, Pretraining

if TYPE_CHECKING:
    from torch import nn

log = logging.getLogger(__name__)

NUM_CLASSES = 1000
"""Of a classifier's head where a source has not told yet."""
NUM_COUNTED = 2
"""Examples that are counted: batch norm needs two. A contrastive loss compares each with the rest
of its batch, which is a thousandth of the whole at the batch sizes in use and left out here."""
CAPTION = "a photo of a cat"


@dataclass(frozen=True)
class Cost:
    """Of one model under one method."""

    flops_per_sample: int
    """Forward and backward, backbone and parts, all views. Two for a multiplication and its
    addition; of matrix products, convolutions and attention, beside which the rest is small."""
    num_parameters: int
    weights_bytes: int
    """Parameters and buffers, as published."""


def flops_per_sample(spec: Pretraining, num_classes: int = NUM_CLASSES) -> int:
    """Floating-point operations of one sample of a training step (see ``Cost``)."""
    return cost(spec, num_classes).flops_per_sample


def cost(spec: Pretraining, num_classes: int = NUM_CLASSES) -> Cost:
    """Raises ValueError if the architecture cannot be built."""
    twice = spec.budget.accumulation > 1
    return _cost(spec.method, spec.architecture, num_classes, twice)  # pyright: ignore[reportArgumentType]


def state_bytes(counted: Cost, optimisation: Optimisation) -> int:
    """The whole state of training, as a checkpoint or a trunk keeps it."""
    moments = 2 if optimisation.optimiser == "adamw" else 1
    averages = counted.weights_bytes if optimisation.ema_decay else 0
    return counted.weights_bytes + averages + 4 * moments * counted.num_parameters


@lru_cache(maxsize=256)
def _cost(method: Method, architecture: Network, num_classes: int, twice: bool) -> Cost:
    from raystudy.backbone import check_architecture

    try:
        return _count(method, architecture, num_classes, twice, "meta")
    except (NotImplementedError, RuntimeError) as error:
        check_architecture(architecture)
        log.debug("counted on the CPU, for it asks for values: %s", error)
        return _count(method, architecture, num_classes, twice, "cpu")


def _count(
    method: Method, architecture: Network, num_classes: int, twice: bool, device: str
) -> Cost:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from raystudy.backbone import Objective, blank, build_backbone

    with torch.random.fork_rng(devices=[]), torch.device(device):
        objective = Objective(build_backbone(architecture, 0), method, num_classes).train()
        view, targets = blank(architecture, NUM_COUNTED)
        views = [view] * method.num_views
    counter = FlopCounterMode(display=False)
    with counter, _on_paper():
        objective(views, targets, [CAPTION] * NUM_COUNTED)["loss"].backward()
        if twice:  # accumulation: features first, then each part again for its gradients
            with torch.no_grad():
                objective.backbone(torch.cat(views))
    return Cost(
        counter.get_total_flops() // NUM_COUNTED,
        sum(p.numel() for p in objective.parameters()),
        _bytes_of(objective),
    )


@contextmanager
def _on_paper() -> Iterator[None]:
    """Here a loss over a global batch has no other workers to speak to, who would not answer; and
    the meta device knows no autocast, on which a count does not depend."""
    with (
        patch("torch.distributed.is_initialized", return_value=False),
        patch("torch.autocast", return_value=nullcontext()),
    ):
        yield


def _bytes_of(module: nn.Module) -> int:
    state: dict[str, Any] = module.state_dict()
    return sum(t.numel() * t.element_size() for t in state.values())
