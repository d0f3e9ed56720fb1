"""Backbones of timm and open_clip: how wide they are, and what is refused before anything runs."""

import pytest
import torch

from raystudy.backbone import build_backbone, check_architecture, num_features
from raystudy.spec import Architecture, Preprocessing

RN = {"layers": [1, 1, 1, 1], "width": 8, "embed_dim": 16}


def backbone(name: str, image_size: int, **args: object) -> Architecture:
    return Architecture(name=name, args=args, preprocessing=Preprocessing(image_size=image_size))


SMALL = [
    backbone("resnet18", 32, layers=[1, 1, 1, 1], channels=[8, 8, 16, 16]),
    backbone("mobilenetv3_small_050", 32),  # has a hidden layer after its last feature map
    backbone("vit_tiny_patch16_224", 32, img_size=32, depth=1),
    backbone("open_clip/RN50", 32, **RN),
    backbone("open_clip/RN50", 96, **RN),
    backbone("open_clip/ViT-B-32", 64, layers=1, width=64, embed_dim=24),
    backbone("open_clip/coca_base", 36, layers=1, width=64, embed_dim=24),
]
LARGE = [
    backbone("resnet50_clip", 224),
    backbone("resnet50_clip_gap", 64),
    backbone("vit_base_patch16_clip_224", 224),
    backbone("vit_base_patch16_siglip_224", 224),
    backbone("open_clip/RN50", 64),
    backbone("open_clip/ViT-B-16-SigLIP", 64),
    backbone("open_clip/convnext_base", 64),
]


@pytest.mark.parametrize("architecture", SMALL, ids=lambda a: f"{a.name}-{a.key[:4]}")
def test_features_are_as_wide_as_announced(architecture: Architecture) -> None:
    check_architecture(architecture)
    built, size = build_backbone(architecture, 0).eval(), architecture.preprocessing.image_size
    with torch.inference_mode():
        assert built(torch.randn(2, 3, size, size)).shape == (2, num_features(built))


@pytest.mark.parametrize("architecture", SMALL[::3], ids=lambda a: a.name)
def test_the_initialisation_is_a_function_of_the_seed(architecture: Architecture) -> None:
    one, same, other = (build_backbone(architecture, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("architecture", LARGE, ids=lambda a: a.name)
def test_full_size_models_pass_the_check(architecture: Architecture) -> None:
    check_architecture(architecture)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (backbone("resnet19", 32), r"'resnet19' is no timm model; near: .*resnet"),
        (backbone("open_clip/RN5O", 64), r"'RN5O' is no open_clip model; near: .*RN50"),
        (backbone("open_clip/RN50", 64, widht=3), r"'open_clip/RN50'.*unexpected.*'widht'"),
        (backbone("resnet18", 32, widht=3), r"'resnet18'.*unexpected.*'widht'"),
        (backbone("vit_tiny_patch16_224", 32), r"with images of 32 × 32: .*224"),
        (backbone("open_clip/RN50", 20), r"'open_clip/RN50' with images of 20 × 20"),
        (backbone("resnet18", 64, global_pool=""), r"gives \(1, 512, 2, 2\), and should give"),
    ],
    ids=lambda value: value.name if isinstance(value, Architecture) else "",
)
def test_what_cannot_be_built_is_refused(architecture: Architecture, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_architecture(architecture)
