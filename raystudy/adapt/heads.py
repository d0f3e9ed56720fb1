"""Where fine-tuning begins: a backbone and a head of zeros, of a linear probe, or of names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from raystudy.adapt.affine import MISSING, Affine
from raystudy.adapt.finetune import Head
from raystudy.adapt.linear_probe import LinearProbe
from raystudy.backbone import num_features
from raystudy.kinds import Encoder, Examples, Floats
from raystudy.views import device, embed


@dataclass(frozen=True)
class Beginning:
    """``model`` (N, 3, H, W) → (N, C), in evaluation mode on the CPU; what was chosen for its head,
    out of how many configurations."""

    model: nn.Sequential
    chosen: Mapping[str, float | str] = field(default_factory=dict)
    num_tried: int = 0


class Cosine(nn.Linear):
    """A linear layer on features of length one: CLIP's classifier."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(normalize(input, dim=-1))


def begin(
    head: Head,
    train: Examples,
    validation: Examples,
    encoder: Encoder,
    prompts: Sequence[Sequence[str]],
    seed: int,
) -> Beginning | None:
    """None where a zero-shot head is asked for and the backbone knows no names.

    Raises ValueError if its zero-shot classifier is neither linear nor a cosine.
    """
    backbone = encoder.module.eval().to(device())

    def seen(examples: Examples) -> Examples:
        return replace(examples, inputs=embed(backbone, examples.array, encoder.preprocessing))

    if head == "zeros":
        layer = _zeros(num_features(backbone), len(prompts))
        return Beginning(nn.Sequential(backbone, layer).cpu())
    named = encoder.zero_shot(prompts) if head != "probe" else None
    if named is not None:
        layer = as_module(named, seen(train).array)
        return Beginning(nn.Sequential(backbone, layer).cpu(), {"head": "zero-shot"})
    if head == "zero-shot":
        return None
    probe = LinearProbe().adapt(seen(train), seen(validation), encoder, prompts, seed)
    assert probe is not None  # any features will do
    assert isinstance(probe.predict, Affine)
    model = nn.Sequential(backbone, _affine(probe.predict)).cpu()
    return Beginning(model, {"head": "probe"} | dict(probe.chosen), probe.num_tried)


def as_module(classify: Callable[[Floats], Floats], features: Floats) -> nn.Linear:
    """A layer that computes what ``classify`` does, and can be trained: its weights are what it
    answers to unit vectors. ``features`` (N, D) are those on which the two must agree.

    Raises ValueError if it is neither linear nor a cosine.
    """
    D = features.shape[1]
    bias_C = classify(np.zeros((1, D), np.float32))[0]
    weight_CxD = (classify(np.eye(D, dtype=np.float32)) - bias_C).T
    expected_NxC = torch.from_numpy(np.ascontiguousarray(classify(features), np.float32))
    for kind in (nn.Linear, Cosine):
        layer = _zeros(D, len(bias_C), kind)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight_CxD)))
            layer.bias.copy_(torch.from_numpy(np.ascontiguousarray(bias_C)))
            found_NxC = layer(torch.from_numpy(np.ascontiguousarray(features, np.float32)))
        slack = 1e-3 * float(expected_NxC.std() + 1e-3)
        if torch.allclose(found_NxC, expected_NxC, rtol=1e-3, atol=slack):
            return layer
    raise ValueError(
        "fine-tuning cannot begin from this classifier, which is neither linear in the features "
        "nor a cosine to them (a projection lies in between?); begin with FineTune.head='probe'"
    )


def _affine(head: Affine) -> nn.Linear:
    layer = _zeros(len(head.weights_DxK), head.num_classes)
    with torch.no_grad():
        layer.bias.fill_(MISSING)
        layer.weight[head.classes_K] = torch.from_numpy(head.weights_DxK.T).float()
        layer.bias[head.classes_K] = torch.from_numpy(head.bias_K).float()
    return layer


def _zeros(num_features: int, num_classes: int, kind: type[nn.Linear] = nn.Linear) -> nn.Linear:
    layer: Any = nn.utils.skip_init(kind, num_features, num_classes)  # nothing is drawn
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
