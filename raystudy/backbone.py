"""Backbones and what trains beside them, as torch modules.

A backbone is a timm model up to its pooled features, or the image tower of an open_clip model
(``open_clip/<model>``): (N, 3, S, S) → (N, D); or a decoder: tokens (N, T) → logits (N, T, V).
"""

from collections.abc import Sequence

import timm
import torch
from torch import Tensor, nn

from raystudy.decoder import Decoder
from raystudy.kinds import Method, Network
from raystudy.randomness import number
from raystudy.spec import Architecture, Pretraining
from raystudy.transformer import Transformer

OPEN_CLIP = "open_clip/"


class Objective(nn.Module):
    """A backbone, the parts of its method, and the loss over both."""

    def __init__(self, backbone: nn.Module, method: Method, num_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.method = method
        self.num_classes = num_classes
        self.parts = nn.ModuleDict(method.parts(num_features(backbone), num_classes))

    def forward(
        self, views: Sequence[Tensor], labels: Tensor, captions: Sequence[str]
    ) -> dict[str, Tensor]:
        """``views`` holds (N, 3, S, S) for each of the method's views, or tokens (N, T). Scalars,
        with ``loss``."""
        if len(views) == 1:  # nothing to cut apart again, which copies every gradient
            features = (self.backbone(views[0]),)
        else:
            features = self.backbone(torch.cat(list(views))).chunk(len(views))
        return self.method.loss(self.parts, features, labels, captions)


def build_backbone(architecture: Network, seed: int) -> nn.Module:
    """The backbone at its random initialisation, a function of ``seed`` alone."""
    with torch.random.fork_rng(devices=[]):  # torch's own generator is left as it was found
        torch.manual_seed(number(seed, "initialisation"))
        backbone = _create(architecture)
    return backbone.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def build_objective(spec: Pretraining, num_classes: int) -> Objective:
    """The untrained objective: a function of (spec, number of classes)."""
    backbone = build_backbone(spec.architecture, spec.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(number(spec.seed, "initialisation/parts"))
        return Objective(backbone, spec.method, num_classes)


def num_features(backbone: nn.Module) -> int:
    """D, the width of the pooled features: that of the last hidden layer, where timm keeps one
    between the last feature map and the classifier. V of a decoder."""
    return int(getattr(backbone, "head_hidden_size", None) or backbone.num_features)  # pyright: ignore[reportArgumentType]


def blank(architecture: Network, num: int) -> tuple[Tensor, Tensor]:
    """What a backbone reads of ``num`` examples, and targets of their shape; all zeros."""
    if isinstance(architecture, Decoder):
        tokens = torch.zeros(num, architecture.context, dtype=torch.int64)
        return tokens, tokens
    side = _pictured(architecture).preprocessing.image_size
    return torch.zeros(num, 3, side, side), torch.zeros(num, dtype=torch.int64)


def check_architecture(architecture: Network) -> None:
    """Builds it and shows it an image, without memory or arithmetic. Raises ValueError, naming the
    nearest models, for one that neither timm nor open_clip knows, and for one that cannot be built
    or takes no image of the size it is to be fed."""
    if isinstance(architecture, Decoder):  # whatever its fields allow can be built
        return
    architecture = _pictured(architecture)
    size = architecture.preprocessing.image_size
    _check_name(architecture.name)
    where = f"Architecture.args of {architecture.name!r} with images of {size} × {size}"
    try:
        with torch.device("meta"):
            backbone = _create(architecture).eval()
            features = backbone(torch.empty(1, 3, size, size))
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        message = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{where}: {message}") from error
    if features.shape != (1, num_features(backbone)):
        raise ValueError(
            f"{where}: an image gives {tuple(features.shape)}, and should give "
            f"(1, {num_features(backbone)})"
        )


def _create(architecture: Network) -> nn.Module:
    if isinstance(architecture, Decoder):
        return Transformer(architecture)
    architecture = _pictured(architecture)
    if architecture.name.startswith(OPEN_CLIP):
        from raystudy.towers import image_tower

        model = architecture.name.removeprefix(OPEN_CLIP)
        return image_tower(model, architecture.preprocessing.image_size, architecture.args)
    return timm.create_model(architecture.name, num_classes=0, **architecture.args)


def _pictured(architecture: Network) -> Architecture:
    if not isinstance(architecture, Architecture):
        raise TypeError(f"{type(architecture).__name__}: nobody knows how to build one")
    return architecture


def _check_name(name: str) -> None:
    if name.startswith(OPEN_CLIP):
        from raystudy.towers import model_config

        model_config(name.removeprefix(OPEN_CLIP), "Architecture.name")
    elif not timm.is_model(name):
        near = timm.list_models(f"*{name.split('_')[0][:6]}*")[:3]
        hint = f"; near: {', '.join(near)}" if near else "; timm.list_models() names them all"
        raise ValueError(f"Architecture.name={name!r} is no timm model{hint}")
