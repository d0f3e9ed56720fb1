"""Backbones and what trains beside them, as torch modules.

A backbone is a timm model up to its pooled features: (N, 3, S, S) → (N, D).
"""

from collections.abc import Sequence

import timm
import torch
from torch import Tensor, nn

from raystudy.kinds import Method
from raystudy.randomness import number
from raystudy.spec import Architecture, Pretraining


class Objective(nn.Module):
    """A backbone, the parts of its method, and the loss over both."""

    def __init__(self, backbone: nn.Module, method: Method, num_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.method = method
        self.parts = nn.ModuleDict(method.parts(num_features(backbone), num_classes))

    def forward(
        self, views: Sequence[Tensor], labels: Tensor, captions: Sequence[str]
    ) -> dict[str, Tensor]:
        """``views`` holds (N, 3, S, S) for each of the method's views. Scalars, with ``loss``."""
        features = self.backbone(torch.cat(list(views))).chunk(len(views))
        return self.method.loss(self.parts, features, labels, captions)


def build_backbone(architecture: Architecture, seed: int) -> nn.Module:
    """The backbone at its random initialisation, a function of ``seed`` alone."""
    with torch.random.fork_rng(devices=[]):  # torch's own generator is left as it was found
        torch.manual_seed(number(seed, "initialisation"))
        backbone = timm.create_model(architecture.name, num_classes=0, **architecture.args)
    return backbone.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def build_objective(spec: Pretraining, num_classes: int) -> Objective:
    """The untrained objective: a function of (spec, number of classes)."""
    backbone = build_backbone(spec.architecture, spec.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(number(spec.seed, "initialisation/parts"))
        return Objective(backbone, spec.method, num_classes)


def num_features(backbone: nn.Module) -> int:
    """D, the width of the pooled features."""
    return int(backbone.num_features)  # pyright: ignore[reportArgumentType]


def check_architecture(architecture: Architecture) -> None:
    """Raises ValueError, naming the nearest models, for one that timm does not know or build."""
    if not timm.is_model(architecture.name):
        near = timm.list_models(f"*{architecture.name.split('_')[0][:6]}*")[:3]
        hint = f"; near: {', '.join(near)}" if near else "; timm.list_models() names them all"
        raise ValueError(f"Architecture.name={architecture.name!r} is no timm model{hint}")
    try:
        with torch.device("meta"):
            timm.create_model(architecture.name, num_classes=0, **architecture.args)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        message = str(error).splitlines()[0]
        raise ValueError(f"Architecture.args of {architecture.name!r}: {message}") from error
