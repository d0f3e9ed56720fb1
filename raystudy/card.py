"""What tables and figures say of a backbone: its family, its size, what it learnt from and how.

Nothing is opened: parameters are counted on torch's meta device, and of a published model the rest
is what its library says of it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from raystudy.decoder import Decoder
from raystudy.hub.name import parse
from raystudy.kinds import Network
from raystudy.spec import Architecture, Backbone, Initialisation, Published

SELF_SUPERVISED = {"mae": "in1k", "dino": "in1k"}
"""Tags of timm that name a recipe alone, and what that was run on."""
DATA = {
    "in1k": "ImageNet-1k",
    "in12k": "ImageNet-12k",
    "in21k": "ImageNet-21k",
    "in22k": "ImageNet-22k",
    "jft": "JFT-300M",
    "laion2b": "LAION-2B",
    "laion400m": "LAION-400M",
    "openai": "WIT-400M",
}
"""How timm and open_clip write what a model learnt from."""


class Card(NamedTuple):
    family: str
    num_parameters: int
    """Of the backbone, without the head that it was pre-trained with; of a decoder without its
    embeddings."""
    data: str
    recipe: str
    licence: str
    """Of the weights, as their library gives it; empty for those of the study itself."""


def card(backbone: Backbone) -> Card:
    """Raises ValueError for a model that nobody offers or that cannot be built."""
    if isinstance(backbone, Published):
        return _of_published(backbone)
    family, number = _built(backbone.architecture)  # pyright: ignore[reportArgumentType]
    if isinstance(backbone, Initialisation):
        return Card(family, number, "nothing", "untrained", "")
    noise = f", {backbone.noise.name}" if backbone.noise else ""
    learnt = f"{backbone.source.name} {backbone.size:,}{noise}"
    return Card(family, number, learnt, backbone.method.name, "")


@lru_cache(maxsize=256)  # a study has many backbones of one architecture
def _built(architecture: Network) -> tuple[str, int]:
    if isinstance(architecture, Decoder):
        return "decoder", architecture.num_parameters
    import torch

    from raystudy.backbone import build_backbone

    with torch.device("meta"):
        module = build_backbone(architecture, 0)
    assert isinstance(architecture, Architecture)
    return _family(architecture.name), sum(p.numel() for p in module.parameters())


def _of_published(backbone: Published) -> Card:
    import torch

    from raystudy.hub.offer import offer

    name, found = parse(backbone.model), offer(backbone.model)
    arguments = {**found.config, **backbone.args}
    with torch.device("meta"):
        if found.library == "timm":
            import timm

            built = timm.create_model(found.architecture, num_classes=0, **arguments)
            family = _family(found.architecture)
        else:
            from raystudy.zoo.clip import build_clip

            built, family = build_clip(arguments).visual, _family(name.architecture)
    data, recipe = _learnt(name.tag)
    number = sum(p.numel() for p in built.parameters())  # pyright: ignore[reportAttributeAccessIssue]
    return Card(family, number, backbone.label or data, recipe, found.licence)


def _family(architecture: str) -> str:
    """timm's module of a model, and open_clip's kind of image tower."""
    if architecture.startswith("open_clip/"):
        return f"CLIP {re.split(r'[-0-9]', architecture.removeprefix('open_clip/'))[0]}"
    from timm.models import model_entrypoint

    return model_entrypoint(architecture).__module__.rpartition(".")[2]


def _learnt(tag: str) -> tuple[str, str]:
    """``augreg_in21k_ft_in1k`` → ImageNet-21k → ImageNet-1k, by augreg."""
    words = tag.split("_")
    data = [DATA[word] for word in words if word in DATA]
    if not data and words[0] in SELF_SUPERVISED:
        data = [DATA[SELF_SUPERVISED[words[0]]]]
    recipe = " ".join(word for word in words if word not in DATA and word != "ft")
    return " → ".join(data) or tag, recipe or "supervised"
