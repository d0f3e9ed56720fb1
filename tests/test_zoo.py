"""Weights of others: read without trusting them, fitted whole or refused, and used as they were."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import torch
from open_clip.model import CLIP, CustomTextCLIP
from open_clip.transform import PreprocessCfg, image_transform_v2
from open_clip.zero_shot_classifier import build_zero_shot_classifier
from PIL import Image
from safetensors.torch import save_file
from timm.data.config import resolve_data_config
from timm.data.transforms_factory import create_transform
from torch import Tensor, nn

from raystudy.spec import Published
from raystudy.views import embed
from raystudy.zoo.published import open_published
from raystudy.zoo.weights import read

SMALL: dict[str, Any] = {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}
TOWERS: dict[str, Any] = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 4},
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": 16,
        "heads": 2,
        "layers": 1,
    },
}
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 40, 30, 3), dtype=np.uint8)


def resnet() -> nn.Module:
    """With its classifier, and with statistics that evaluation must use."""
    torch.manual_seed(3)
    model = timm.create_model("resnet18", num_classes=10, **SMALL)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)  # pyright: ignore[reportArgumentType]
            nn.init.uniform_(module.running_var, 0.5, 2)  # pyright: ignore[reportArgumentType]
    return model.eval()


def tensors(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone().contiguous() for name, tensor in model.state_dict().items()}


def published(file: Path, model: str = "timm/resnet18.a1_in1k", **fields: Any) -> Published:
    return Published(model=model, weights=str(file), **fields | {"args": fields.get("args", SMALL)})


def features(spec: Published, images: np.ndarray = IMAGES) -> np.ndarray:
    opened = open_published(spec)
    assert opened.preprocessing
    return embed(opened.backbone, images, opened.preprocessing)


SAVED: dict[str, Callable[[dict[str, Tensor], Path], None]] = {
    "plain.safetensors": lambda state, file: save_file(state, file),
    "plain.pt": lambda state, file: torch.save(state, file),
    "wrapped.pth": lambda state, file: torch.save({"epoch": 3, "state_dict": state}, file),
    "model.bin": lambda state, file: torch.save({"model": state}, file),
    "parallel.pt": lambda state, file: torch.save(
        {f"module.{n}": t for n, t in state.items()}, file
    ),
    "tower.safetensors": lambda state, file: save_file(
        {f"visual.trunk.{n}": t for n, t in state.items()}
        | {"text.ln_final.weight": torch.ones(3), "logit_scale": torch.ones(())},
        file,
    ),
    "objective.safetensors": lambda state, file: save_file(
        {f"backbone.{n}": t for n, t in state.items() if not n.startswith("fc.")}
        | {"parts.head.weight": torch.ones(3, 3)},
        file,
    ),
    "old.pt": lambda state, file: torch.save(
        {n: t for n, t in state.items() if "num_batches" not in n}, file
    ),
}


@pytest.mark.parametrize("name", SAVED)
def test_features_are_those_of_timm(name: str, tmp_path: Path) -> None:
    """Its own model on its own evaluation transform, whose rounding to whole grey levels is all
    that is left of a difference; on images of the right size nothing is."""
    model = resnet()
    SAVED[name](tensors(model), tmp_path / name)
    oracle: Any = timm.create_model("resnet18.a1_in1k", num_classes=0, **SMALL).eval()
    oracle.load_state_dict(model.state_dict(), strict=False)
    assert oracle.pretrained_cfg["crop_pct"] < 1  # or the middle would not be tested
    transform: Any = create_transform(**resolve_data_config({}, model=oracle))
    with torch.inference_mode():
        expected = oracle(torch.stack([transform(Image.fromarray(i)) for i in IMAGES]))  # pyright: ignore
    np.testing.assert_allclose(features(published(tmp_path / name)), expected, atol=0.02, rtol=0.02)

    seen, seen_by_timm = {"image_size": 30, "crop_share": 1.0}, {"input_size": 30, "crop_pct": 1.0}
    config = resolve_data_config({}, model=oracle) | seen_by_timm
    transform = create_transform(**config)
    square = IMAGES[:, :30]
    with torch.inference_mode():
        expected = oracle(torch.stack([transform(Image.fromarray(i)) for i in square]))  # pyright: ignore
    found = features(published(tmp_path / name, preprocessing=seen), square)
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "mean", "num_classes"),
    [
        ("vit_tiny_patch16_224.augreg_in21k_ft_in1k", 0.5, 10),
        ("vit_base_patch16_224.mae", 0.485, 0),
    ],
)
def test_each_model_sees_images_as_it_learnt_them_with_a_head_or_without(
    name: str, mean: float, num_classes: int, tmp_path: Path
) -> None:
    """A mean and deviation that are not ImageNet's; and weights without a head, as of MAE, which
    has never had one."""
    small: dict[str, Any] = {"depth": 1, "embed_dim": 12, "num_heads": 2, "img_size": 32}
    torch.manual_seed(0)
    model: Any = timm.create_model(name, num_classes=num_classes, **small).eval()
    assert any(n.startswith("head.") for n in model.state_dict()) == bool(num_classes)
    save_file(tensors(model), tmp_path / "w.safetensors")
    spec = published(tmp_path / "w.safetensors", f"timm/{name}", args=small)
    opened = open_published(spec)
    assert opened.preprocessing
    assert opened.preprocessing.mean
    assert opened.preprocessing.mean[0] == mean
    assert opened.preprocessing.image_size == 32
    seen = resolve_data_config({"input_size": (3, 32, 32)}, model=model)
    transform: Any = create_transform(**seen)
    with torch.inference_mode():
        views = torch.stack([transform(Image.fromarray(i)) for i in IMAGES])  # pyright: ignore
        expected = model.forward_head(model.forward_features(views), pre_logits=True)
        exact = opened.backbone(views)
    torch.testing.assert_close(exact, expected)
    assert exact.shape == (len(IMAGES), 12)
    np.testing.assert_allclose(features(spec), expected, atol=0.05, rtol=0.05)  # whole grey levels


def test_a_library_s_own_converter_reads_the_names_of_the_authors(tmp_path: Path) -> None:
    """ConvNeXt as its authors saved it: 'downsample_layers.0.0' for timm's 'stem.0'."""
    small: dict[str, Any] = {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]}
    model = timm.create_model("convnext_tiny", num_classes=3, **small).eval()
    names = {"stem.0": "downsample_layers.0.0", "stem.1": "downsample_layers.0.1"}
    names |= {f"stages.{i}.downsample": f"downsample_layers.{i}" for i in range(1, 4)}
    names |= {f"stages.{i}.blocks": f"stages.{i}" for i in range(4)}
    names |= {"head.norm": "norm", "head.fc": "head"}
    state = {}
    for name, tensor in tensors(model).items():
        start = max((n for n in names if name.startswith(n + ".")), key=len)
        name = names[start] + name.removeprefix(start)
        state[name.replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv")] = tensor
    assert not set(state) <= set(model.state_dict())
    torch.save({"model": state}, tmp_path / "convnext.pth")
    spec = published(tmp_path / "convnext.pth", "timm/convnext_tiny", args=small)
    opened = open_published(spec)
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        expected = model.forward_head(model.forward_features(x), pre_logits=True)  # pyright: ignore
        torch.testing.assert_close(opened.backbone(x), expected)


def without(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {n: t for n, t in state.items() if n != name}


MISFITS: dict[str, tuple[Callable[[dict[str, Tensor]], dict[str, Tensor]], str]] = {
    "missing": (
        lambda s: without(s, "layer2.0.conv1.weight"),
        "'layer2.0.conv1.weight' is missing",
    ),
    "statistics": (lambda s: without(s, "bn1.running_var"), "'bn1.running_var' is missing"),
    "shape": (
        lambda s: s | {"conv1.weight": torch.ones(8, 3, 3, 3)},
        r"'conv1.weight' has shape \(8, 3, 3, 3\), not \(64, 3, 7, 7\)",
    ),
    "unexpected": (
        lambda s: s | {"layer1.1.conv1.weight": torch.ones(8, 8, 3, 3)},
        "'layer1.1.conv1.weight' is unexpected",
    ),
    "another": (lambda s: {f"x{n}": t for n, t in s.items()}, r"is missing.*\(and \d+ more\)"),
    "two": (
        lambda s: {f"encoder_{e}.{n}": t.clone() for n, t in s.items() for e in "qk"},
        r"several such models, below encoder_k\. and encoder_q\.",
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_weights_that_do_not_fit_are_refused_by_name(case: str, tmp_path: Path) -> None:
    change, line = MISFITS[case]
    save_file(change(tensors(resnet())), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=line) as error:
        open_published(published(tmp_path / "w.safetensors"))
    assert "\n" not in str(error.value)
    assert "timm/resnet18.a1_in1k" in str(error.value)


class Bomb:
    """Runs when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_code_in_a_file_is_refused_and_does_not_run(tmp_path: Path) -> None:
    mark, file = tmp_path / "ran", tmp_path / "bomb.pt"
    torch.save({"state_dict": tensors(resnet()), "args": Bomb(mark)}, file)
    torch.load(file, weights_only=False)
    assert mark.exists()  # it would have run
    mark.unlink()
    with pytest.raises(ValueError, match="more than tensors") as error:
        open_published(published(file))
    assert not mark.exists()
    assert "\n" not in str(error.value)
    assert "weights_only" not in str(error.value)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_a_damaged_file_is_refused_in_a_line(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    SAVED[f"plain{file.suffix}"](tensors(resnet()), file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ValueError, match=name) as error:
        read(file)
    assert "\n" not in str(error.value)


def test_weights_that_changed_since_planning_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    save_file(tensors(resnet()), file)
    spec = published(file)
    assert spec.key
    save_file({n: t + 1 for n, t in tensors(resnet()).items()}, file)
    with pytest.raises(ValueError, match="not what this study was planned with"):
        open_published(spec)


def clip(kind: type[nn.Module], **fields: Any) -> nn.Module:
    torch.manual_seed(1)
    model = kind(**copy.deepcopy(TOWERS), quick_gelu=True, **fields)
    with torch.no_grad():
        model.logit_scale.fill_(2.5)  # pyright: ignore
    return model.eval()


PROMPTS = [("zero", "the digit zero", "0"), ("one", "the digit one", "1"), ("two", "2")]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [(CLIP, {}), (CustomTextCLIP, {"custom_text": True, "init_logit_bias": -3.0})],
)
def test_zero_shot_is_that_of_open_clip(kind: type, fields: dict, tmp_path: Path) -> None:
    built = {k: v for k, v in fields.items() if k != "custom_text"}
    model: Any = clip(kind, **built)
    save_file(tensors(model), tmp_path / "clip.safetensors")
    spec = published(tmp_path / "clip.safetensors", "open_clip/RN50/openai", args=TOWERS | fields)
    opened = open_published(spec)
    described = open_clip.pretrained.get_pretrained_cfg("RN50", "openai")
    means = {k: described[k] for k in ("mean", "std", "interpolation", "resize_mode")}
    transform = image_transform_v2(PreprocessCfg(size=32, **means), is_train=False)
    square = IMAGES[:, :30]
    with torch.inference_mode():
        views = torch.stack([transform(Image.fromarray(i)) for i in square])  # pyright: ignore
        image = model.encode_image(views, normalize=True)
        tokenizer = open_clip.get_tokenizer("RN50")
        columns = []
        for sentences in PROMPTS:  # of its own length for each class
            templates = [lambda name, s=s: s for s in sentences]
            columns.append(build_zero_shot_classifier(model, tokenizer, ["-"], templates))
        expected = model.logit_scale.exp() * image @ torch.cat(columns, 1)
        if model.logit_bias is not None:
            expected = expected + model.logit_bias
    classify = opened.classifier(PROMPTS)
    assert classify
    assert opened.preprocessing
    assert opened.preprocessing.image_size == 32
    with torch.inference_mode():
        exact = classify(opened.backbone(views))
        logits = classify(torch.from_numpy(embed(opened.backbone, square, opened.preprocessing)))
    torch.testing.assert_close(exact, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(logits, expected, atol=0.05, rtol=0.02)  # grey levels not rounded


def test_the_activation_is_that_of_the_tag(tmp_path: Path) -> None:
    """OpenAI trained with another GELU than open_clip's RN50 has: the tag tells, and counts."""
    file = tmp_path / "clip.pt"
    torch.save(tensors(clip(CLIP)), file)
    tagged = open_published(published(file, "open_clip/RN50/openai", args=TOWERS))
    bare = open_published(published(file, "open_clip/RN50", args=TOWERS))
    a, b = tagged.classifier(PROMPTS), bare.classifier(PROMPTS)
    assert a
    assert b
    x = torch.rand(4, 12)
    assert not torch.allclose(a(x), b(x))
    model: Any = clip(CLIP)
    tokens = open_clip.get_tokenizer("RN50")(list(PROMPTS[0]))
    own = nn.functional.normalize(model.encode_text(tokens, normalize=True).mean(0), dim=-1)
    x = nn.functional.normalize(x, dim=-1)
    torch.testing.assert_close(a(x)[:, 0], model.logit_scale.exp() * x @ own)


def test_half_a_model_of_open_clip_is_refused(tmp_path: Path) -> None:
    state = {n: t for n, t in tensors(clip(CLIP)).items() if n.startswith("visual.")}
    save_file(state, tmp_path / "visual.safetensors")
    with pytest.raises(ValueError, match="'positional_embedding' is missing"):
        open_published(published(tmp_path / "visual.safetensors", "open_clip/RN50", args=TOWERS))


def test_a_timm_model_knows_no_names(tmp_path: Path) -> None:
    save_file(tensors(resnet()), tmp_path / "w.safetensors")
    assert open_published(published(tmp_path / "w.safetensors")).classifier(PROMPTS) is None
