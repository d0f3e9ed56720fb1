"""Published backbones: from a name to a module with its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raystudy.hub.files import sha256
from raystudy.hub.offer import offer
from raystudy.spec import Preprocessing, Published
from raystudy.zoo.clip import open_clip_model
from raystudy.zoo.opened import Opened
from raystudy.zoo.timm_model import timm_backbone
from raystudy.zoo.weights import read


def open_published(spec: Published) -> Opened:
    """Build the model, and give it the weights that the key of ``spec`` stands for.

    Raises ValueError or FileNotFoundError in one line: weights that are not those, do not fit, hold
    more than tensors, or are not here.
    """
    found, path = offer(spec.model), spec.weights_file()
    if spec.content_with(sha256(path)) != spec.content:
        raise ValueError(
            f"Published.model={spec.model!r}: {path} (SHA-256 {sha256(path)}) or what its library "
            f"says of it is not what this study was planned with"
        )
    seen = {**found.preprocessing, **_size(spec.args), **spec.preprocessing}
    preprocessing = Preprocessing(**seen)
    where = f"Published.model={spec.model!r} with {path.name}"
    state = read(path)
    if found.library == "timm":
        arguments = {**found.config, **spec.args}
        backbone = timm_backbone(found.architecture, arguments, state, where)
        return Opened(backbone, preprocessing, lambda prompts: None)
    clip = open_clip_model({**found.config, **spec.args}, found.tokenizer, state, where)
    return Opened(clip.image_tower, preprocessing, clip.classifier)


def _size(args: Mapping[str, Any]) -> dict[str, Any]:
    """The size of image that ``args`` build the model for, if they say."""
    side = args.get("img_size") or args.get("vision_cfg", {}).get("image_size")
    return {"image_size": side} if side else {}
