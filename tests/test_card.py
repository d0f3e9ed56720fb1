"""What is said of a backbone is counted on the module itself, and named as its library names it."""

import pytest
import timm
import torch

from raystudy.backbone import build_backbone
from raystudy.card import card
from raystudy.methods.supervised import Supervised
from raystudy.noise.symmetric import Symmetric
from raystudy.sources.glyphs import Glyphs
from raystudy.spec import Architecture, Initialisation, Preprocessing, Pretraining, Published

SMALL = Architecture(
    name="resnet18",
    args={"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]},
    preprocessing=Preprocessing(image_size=16),
)


@pytest.mark.parametrize(
    ("model", "family", "data", "recipe", "licence"),
    [
        ("resnet50.a1_in1k", "resnet", "ImageNet-1k", "a1", "apache-2.0"),
        ("resnet50.tv_in1k", "resnet", "ImageNet-1k", "tv", "bsd-3-clause"),
        ("tf_efficientnet_b0.in1k", "efficientnet", "ImageNet-1k", "supervised", "apache-2.0"),
        (
            "tf_efficientnet_b0.ns_jft_in1k",
            "efficientnet",
            "JFT-300M → ImageNet-1k",
            "ns",
            "apache-2.0",
        ),
        (
            "vit_tiny_patch16_224.augreg_in21k_ft_in1k",
            "vision_transformer",
            "ImageNet-21k → ImageNet-1k",
            "augreg",
            "apache-2.0",
        ),
        ("vit_base_patch16_224.mae", "vision_transformer", "ImageNet-1k", "mae", "cc-by-nc-4.0"),
    ],
)
def test_a_published_model(model: str, family: str, data: str, recipe: str, licence: str) -> None:
    found = card(Published(model=f"timm/{model}"))
    assert found._replace(num_parameters=0) == (family, 0, data, recipe, licence)
    with torch.device("meta"):
        whole = timm.create_model(model.partition(".")[0], num_classes=0)
    assert found.num_parameters == sum(p.numel() for p in whole.parameters())


def test_a_model_that_nobody_offers_is_refused() -> None:
    with pytest.raises(ValueError, match="offered by nobody"):
        card(Published(model="timm/resnet50.nobody"))


def test_own_backbones_stand_in_the_same_table() -> None:
    source = Glyphs(script="latin", num_examples=300, image_size=16)
    spec = Pretraining(
        method=Supervised(), architecture=SMALL, source=source, size=200, noise=Symmetric(rate=0.5)
    )
    number = sum(p.numel() for p in build_backbone(SMALL, 0).parameters())
    assert card(spec) == ("resnet", number, "latin 200, symmetric-0.5", "supervised", "")
    assert card(Initialisation(architecture=SMALL))[:2] == ("resnet", number)


def test_a_towers_family_is_clips() -> None:
    found = card(Published(model="open_clip/ViT-B-32/openai"))
    assert found.family == "CLIP ViT"
    assert found.data == "WIT-400M"
    assert found.num_parameters == pytest.approx(87.8e6, rel=0.01)  # of the image tower
