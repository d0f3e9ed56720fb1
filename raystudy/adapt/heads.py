"""Where fine-tuning begins: a backbone and a head of zeros, of a linear probe, or of names."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from raystudy.adapt.affine import MISSING, Affine
from raystudy.adapt.finetune import Head
from raystudy.adapt.linear_probe import LinearProbe
from raystudy.backbone import num_features
from raystudy.kinds import Encoder, Examples
from raystudy.views import device, embed


@dataclass(frozen=True)
class Beginning:
    """``model`` (N, 3, H, W) → (N, C), in evaluation mode on the CPU; what was chosen for its head,
    out of how many configurations."""

    model: nn.Sequential
    chosen: Mapping[str, float | str] = field(default_factory=dict)
    num_tried: int = 0


def begin(
    head: Head,
    train: Examples,
    validation: Examples,
    encoder: Encoder,
    prompts: Sequence[Sequence[str]],
    seed: int,
) -> Beginning | None:
    """None where a zero-shot head is asked for and the backbone knows no names."""
    backbone = encoder.module.eval().to(device())

    def seen(examples: Examples) -> Examples:
        return replace(examples, inputs=embed(backbone, examples.array, encoder.preprocessing))

    if head == "zeros":
        layer = _zeros(num_features(backbone), len(prompts))
        return Beginning(nn.Sequential(backbone, layer).cpu())
    named = encoder.zero_shot(prompts) if head != "probe" else None
    if named is not None:
        layer = copy.deepcopy(named)  # what it shares with the backbone stays as it is
        return Beginning(nn.Sequential(backbone, layer).cpu(), {"head": "zero-shot"})
    if head == "zero-shot":
        return None
    probe = LinearProbe().adapt(seen(train), seen(validation), encoder, prompts, seed)
    assert probe is not None  # any features will do
    assert isinstance(probe.predict, Affine)
    model = nn.Sequential(backbone, _affine(probe.predict)).cpu()
    return Beginning(model, {"head": "probe"} | dict(probe.chosen), probe.num_tried)


def _affine(head: Affine) -> nn.Linear:
    layer = _zeros(len(head.weights_DxK), head.num_classes)
    with torch.no_grad():
        layer.bias.fill_(MISSING)
        layer.weight[head.classes_K] = torch.from_numpy(head.weights_DxK.T).float()
        layer.bias[head.classes_K] = torch.from_numpy(head.bias_K).float()
    return layer


def _zeros(num_features: int, num_classes: int) -> nn.Linear:
    layer: Any = nn.utils.skip_init(nn.Linear, num_features, num_classes)  # nothing is drawn
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
