"""Layer-wise learning rates against timm's own parameter groups."""

import pytest
import timm
from timm.optim._param_groups import param_groups_layer_decay
from torch import nn

from raystudy.adapt.layer_decay import layer_scales
from raystudy.towers import image_tower
from raystudy.zoo.clip import ImageTower


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "convnext_atto"])
def test_factors_are_timms(name: str) -> None:
    whole = timm.create_model(name, num_classes=7)
    backbone = timm.create_model(name, num_classes=0)
    factor = {
        id(p): group["lr_scale"]
        for group in param_groups_layer_decay(whole, layer_decay=0.75)
        for p in group["params"]
    }
    head = set(dict(whole.named_parameters())) - set(dict(backbone.named_parameters()))
    expected = {n: factor[id(p)] for n, p in whole.named_parameters() if n not in head}
    assert layer_scales(backbone, 0.75) == pytest.approx(expected)
    assert all(factor[id(whole.get_parameter(n))] == 1 for n in head)
    assert len(set(expected.values())) >= 5


@pytest.mark.parametrize(
    ("model", "args", "first", "last"),
    [
        ("RN50", {"layers": [1, 1, 1, 1], "width": 16}, "conv1.weight", "layer4.0.conv1.weight"),
        (
            "ViT-B-32",
            {"layers": 4, "width": 64},
            "positional_embedding",
            "transformer.resblocks.3.attn.in_proj_weight",
        ),
    ],
)
@pytest.mark.parametrize("is_published", [False, True])
def test_open_clips_towers_have_layers_too(
    model: str, args: dict[str, int], first: str, last: str, is_published: bool
) -> None:
    tower = image_tower(model, 32, args)
    scales = layer_scales(ImageTower(tower, 8) if is_published else tower, 0.5)
    prefix = "visual." if is_published else ""
    assert scales[prefix + first] == 0.5**5  # four blocks lie between it and the head
    assert scales[prefix + last] == 0.5
    assert max(scales.values()) == 1  # attention pooling or the projection, with the head
    assert len(scales) == sum(1 for _ in tower.parameters())


def test_timm_towers_of_open_clip_are_found_inside() -> None:
    inner = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    tower = nn.Module()
    tower.trunk = inner
    tower.head = nn.Linear(192, 8)
    scales = layer_scales(tower, 0.5)
    assert scales["head.weight"] == 1
    assert scales["trunk.blocks.11.mlp.fc1.weight"] == 0.5
    assert scales["trunk.patch_embed.proj.weight"] == 0.5**13


def test_a_backbone_without_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="leave layer_decay out"):
        layer_scales(nn.Linear(3, 3), 0.5)
