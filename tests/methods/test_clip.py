"""CLIP with towers of open_clip against open_clip's own models, and its temperature."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from raystudy.backbone import Objective, build_backbone
from raystudy.methods.clip import CLIP
from raystudy.spec import Architecture, Preprocessing

VISION = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}
TEXT = {"context_length": 12, "width": 32, "heads": 2, "layers": 1}
MODELS = {
    "tiny-softmax": {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": TEXT},
    "tiny-sigmoid": {  # with what sets SigLIP's text tower apart
        "embed_dim": 16,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 64, "layers": 1, "width": 64, "patch_size": 32},
        "text_cfg": TEXT
        | {
            "vocab_size": 49500,
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
            "norm_kwargs": {"eps": 1e-6},
        },
    },
}
CAPTIONS = ["a", "bold greek small letter alpha, white on blue", "arrow", "digit seven"]


@pytest.fixture(scope="module", autouse=True)
def models(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("configs")
    for name, config in MODELS.items():
        Path(folder, f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)


def architecture(model: str) -> Architecture:
    return Architecture(name=f"open_clip/{model}", preprocessing=Preprocessing(image_size=64))


def with_weights_of(model: Any, name: str, method: CLIP) -> Objective:
    objective = Objective(build_backbone(architecture(name), 0), method, 3)
    objective.backbone.load_state_dict(model.visual.state_dict())
    objective.parts["text"].load_state_dict(model.text.state_dict())
    return objective


@pytest.mark.parametrize(
    ("name", "contrast"), [("tiny-softmax", "global"), ("tiny-sigmoid", "siglip")]
)
def test_equals_the_model_of_open_clip(name: str, contrast: Any) -> None:
    """Same weights, same tokens, same logits, same loss."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"init_logit_scale": math.log(10), "init_logit_bias": -10.0}
    theirs = open_clip.create_model(
        name, force_custom_text=True, **(options if contrast == "siglip" else {})
    )
    method = CLIP(text=name, contrast=contrast, projects_images=False)
    ours = with_weights_of(theirs, name, method)
    images = torch.randn(4, 3, 64, 64)
    loss = {"global": open_clip.ClipLoss, "siglip": open_clip.loss.SigLipLoss}[contrast]()
    expected = loss(*theirs(images, open_clip.get_tokenizer(name)(CAPTIONS)))
    found = ours([images], torch.zeros(4), CAPTIONS)["loss"]
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


@pytest.mark.parametrize(
    "method",
    [CLIP(), CLIP(contrast="siglip"), CLIP(contrast="local", text="tiny-softmax")],
    ids=["own", "siglip", "named"],
)
def test_zero_shot_is_the_scaled_cosine_to_mean_prompts(method: CLIP) -> None:
    torch.manual_seed(0)
    parts = nn.ModuleDict(method.parts(6, 0))
    features, prompts = torch.randn(5, 6), [("one", "a one"), ("two",), ("three", "a bold three")]
    classify = method.zero_shot(parts, [], prompts)
    assert classify is not None
    tokenizer = open_clip.SimpleTokenizer(context_length=parts["text"].context_length)  # pyright: ignore[reportArgumentType]
    scale = 10 if method.contrast == "siglip" else 1 / 0.07
    with torch.inference_mode():
        image = parts["image_projection"](features)
        for c, sentences in enumerate(prompts):
            text = parts["text"](tokenizer(list(sentences)))
            mean = (text / text.norm(dim=1, keepdim=True)).mean(0)
            cosine = torch.cosine_similarity(image, mean[None])
            assert torch.allclose(classify(features)[:, c], scale * cosine, atol=1e-4)


def test_a_temperature_at_its_bound_is_held_and_can_come_back() -> None:
    method = CLIP(max_scale=50)
    parts = nn.ModuleDict(method.parts(6, 0))
    log_scale = dict(parts.named_parameters())["logit_scale.log"]
    with torch.no_grad():
        log_scale.fill_(math.log(1000))
        metrics = method.loss(parts, [torch.randn(4, 6)], torch.zeros(4), CAPTIONS)
        assert float(metrics["logit_scale"]) == pytest.approx(50)
        method.constrain(parts)
    assert float(log_scale.detach()) == pytest.approx(math.log(50))
    method.loss(parts, [torch.randn(4, 6)], torch.zeros(4), CAPTIONS)["loss"].backward()
    assert log_scale.grad is not None
    assert float(log_scale.grad) != 0


def test_the_temperature_begins_as_published() -> None:
    def beginning(method: CLIP) -> dict[str, float]:
        return {
            n: float(v.detach()) for n, v in method.parts(6, 0)["logit_scale"].named_parameters()
        }

    assert beginning(CLIP()) == {"log": pytest.approx(math.log(1 / 0.07))}
    siglip = {"log": pytest.approx(math.log(10)), "bias": -10}
    assert beginning(CLIP(contrast="siglip")) == siglip
    assert beginning(CLIP(initial_scale=20)) == {"log": pytest.approx(math.log(20))}


def test_weights_with_a_scalar_temperature_still_load() -> None:
    parts = nn.ModuleDict(CLIP().parts(6, 0))
    state = {n: v.clone() for n, v in parts.state_dict().items()}
    state["logit_scale.log"] = torch.tensor(3.0)
    parts.load_state_dict(state)
    assert float(parts.state_dict()["logit_scale.log"]) == 3


def test_files_of_a_hub_are_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(FileNotFoundError, match=r"tokenizer .* 'timm/ViT-B-16-SigLIP' is not here"):
        CLIP(text="ViT-B-16-SigLIP").check()
    CLIP(text="RN50").check()
    CLIP().check()


def test_a_misspelt_model_is_named_with_its_neighbours() -> None:
    with pytest.raises(
        ValueError, match=r"CLIP\.text: 'RN-50' is no open_clip model; near: .*RN50"
    ):
        CLIP(text="RN-50").check()


def test_fields_of_the_small_tower_are_refused_beside_a_named_one() -> None:
    with pytest.raises(ValidationError, match=r"CLIP\.text_width .* CLIP\.text='RN50'"):
        CLIP(text="RN50", text_width=128)


def test_a_scale_beyond_its_bound_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"initial_scale=200 is over CLIP\.max_scale=100"):
        CLIP(initial_scale=200)


def test_features_of_another_width_need_a_projection() -> None:
    with pytest.raises(ValueError, match=r"projects_images is off, but .* 6 features .* 64"):
        CLIP(projects_images=False).parts(6, 0)
