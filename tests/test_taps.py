"""Taps against the paper's numbers, and against what the networks themselves compute."""

import copy
import math
from typing import Any

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from raystudy.taps import Taps, pool

RESNET50 = {  # T → D at 240 pixels, as read in the official code
    512: 32_232,
    4096: 197_352,
    8192: 405_224,
    16384: 1_524_840,
}


def model(name: str, **args: object) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, **args).eval()  # pyright: ignore[reportArgumentType]


def small_resnet(block: str = "resnet18", **args: object) -> nn.Module:
    widths = {"layers": [1, 2, 1, 1], "channels": [8, 8, 16, 16]}
    return model(block, **{"num_classes": 0, **widths, **args})


def small_vit(**args: object) -> nn.Module:
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 2}
    return model("vit_tiny_patch16_224", **{"num_classes": 0, **sizes, **args})


def clip_vit(**args: object) -> nn.Module:
    sizes = {"image_size": 32, "patch_size": 8, "width": 24, "layers": 3, "heads": 2}
    torch.manual_seed(0)
    tower = VisionTransformer(
        **{"mlp_ratio": 4.0, "output_dim": 12, **sizes, **args}  # pyright: ignore[reportArgumentType]
    )
    return tower.eval()


def clip_resnet() -> nn.Module:
    torch.manual_seed(0)
    return ModifiedResNet([1, 2, 1, 1], output_dim=12, heads=4, image_size=32, width=8).eval()


NETWORKS = {
    "basic": small_resnet,
    "bottleneck": lambda: small_resnet("resnet50", channels=[4, 4, 8, 8]),
    "vit": small_vit,
    "clip-vit": clip_vit,
    "clip-resnet": clip_resnet,
}


@pytest.fixture(params=sorted(NETWORKS))
def backbone(request: pytest.FixtureRequest) -> nn.Module:
    return NETWORKS[request.param]()


def views(n: int, size: int = 32) -> Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", RESNET50)
def test_resnet50_gives_as_many_features_as_published(size: int) -> None:
    with torch.device("meta"):  # shapes without arithmetic
        whole = timm.create_model("resnet50", num_classes=1000)
        groups = Taps(whole, size).groups(240)
    assert len(groups) == 52
    assert sum(groups.values()) == RESNET50[size]


def test_resnet50_without_a_classifier_lacks_only_its_logits() -> None:
    with torch.device("meta"):
        whole, headless = (timm.create_model("resnet50", num_classes=n) for n in (1000, 0))
        groups = Taps(whole, 512).groups(240)
        assert groups.pop("logits") == 1000
        assert list(Taps(headless, 512).groups(240).items()) == list(groups.items())
    units = {f"block{b}_unit{u}_layer{i}" for b, n in enumerate((3, 4, 6, 3), 1)
             for u in range(1, n + 1) for i in range(3)}  # fmt: skip
    assert set(groups) == {"after_root", "pre_logits_pre_pooling", "pre_logits"} | units


def test_vit_b_16_has_the_groups_of_the_paper() -> None:
    with torch.device("meta"):
        vit = timm.create_model("vit_base_patch16_224", num_classes=0)
        groups = Taps(vit, 8192).groups(224)
    whole = {"pre_logits", "cls_embedded", "encoded_sequence"}
    whole |= {"position_embedded_input", "root_output_with_cls"}
    parts = ("pre_attn", "attn", "mlp_1", "mlp_2")
    assert set(groups) == whole | {f"encoder_{i}_{p}" for i in range(12) for p in parts}
    assert len(groups) == 53
    assert groups["encoded_sequence"] == 7680
    assert groups["encoder_0_mlp_1"] == 3072 * 2


# ── Pooling ──────────────────────────────────────────────────────────────────────────────────────


def average_squares(x: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """(C, H, W) → rows × columns × C by a plain loop."""
    _, H, W = x.shape
    means = [
        x[:, top : top + side, left : left + side].mean((1, 2))
        for top in range(0, H - side + 1, side)
        for left in range(0, W - side + 1, side)
    ]
    return np.concatenate(means)


@pytest.mark.parametrize(
    ("shape", "size", "side"),
    [
        ((64, 60, 60), 64 * 121, 5),  # 11 squares to a side are asked for, and 12 fit
        ((16, 8, 8), 256, 2),
        ((3, 7, 7), 12, 3),  # one row and one column are left over
        ((5, 4, 4), 80, 1),
        ((5, 4, 4), 79, 1),
    ],
)
def test_maps_are_averaged_over_squares(shape: tuple[int, int, int], size: int, side: int) -> None:
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    found = pool(torch.from_numpy(x), size).numpy()
    np.testing.assert_allclose(found, [average_squares(one, side) for one in x], atol=1e-6)
    assert shape != (64, 60, 60) or found.shape == (2, 64 * 12 * 12)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((16, 4, 4), 16),  # as many channels as features
        ((16, 4, 4), 9),
        ((16, 4, 4), 16 * 25),  # less than one pixel each: the paper's code says the mean of all
    ],
)
def test_maps_are_averaged_over_all(shape: tuple[int, int, int], size: int) -> None:
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(pool(x, size), x.flatten(2).mean(2))


def test_a_larger_size_may_give_fewer_features() -> None:
    x = torch.zeros(1, 16, 4, 4)
    assert pool(x, 16 * 16).shape == (1, 256)
    assert pool(x, 16 * 25).shape == (1, 16)


@pytest.mark.parametrize(
    ("tokens", "channels", "size", "run"),
    [
        (197, 768, 8192, 18),
        (17, 24, 100, 4),
        (17, 24, 24, 17),
        (17, 24, 24 * 18, 17),
        (5, 2, 10, 1),
    ],
)
def test_tokens_are_averaged_over_runs(tokens: int, channels: int, size: int, run: int) -> None:
    x = np.random.default_rng(0).normal(size=(2, tokens, channels)).astype(np.float32)
    expected = [
        np.concatenate([one[i : i + run].mean(0) for i in range(0, tokens - run + 1, run)])
        for one in x
    ]
    np.testing.assert_allclose(pool(torch.from_numpy(x), size).numpy(), expected, atol=1e-6)


def test_features_are_left_as_they_are() -> None:
    x = torch.randn(3, 7)
    assert pool(x, 2) is x


# ── Against the networks ─────────────────────────────────────────────────────────────────────────


def named(backbone: nn.Module, x: Tensor, size: int) -> dict[str, Tensor]:
    taps = Taps(backbone, size)
    groups = taps.groups(x.shape[-1])
    with torch.inference_mode():
        parts = taps(x).split(list(groups.values()), 1)
    return dict(zip(groups, parts, strict=True))


@torch.inference_mode()
def test_a_resnets_groups_are_its_own_maps() -> None:
    backbone = small_resnet(num_classes=5)
    x = views(3)
    found = named(backbone, x, 1)  # means of every map
    maps = backbone.forward_intermediates(x, intermediates_only=True)  # pyright: ignore
    last = ("block1_unit1", "block2_unit2", "block3_unit1", "block4_unit1")
    for unit, of_stage in zip(last, maps[1:], strict=True):
        torch.testing.assert_close(found[f"{unit}_layer1"], of_stage.mean((2, 3)))
    torch.testing.assert_close(found["after_root"], backbone.maxpool(maps[0]).mean((2, 3)))  # pyright: ignore
    torch.testing.assert_close(found["logits"], backbone(x))
    torch.testing.assert_close(found["logits"], backbone.fc(found["pre_logits"]))  # pyright: ignore
    inner: Any = backbone.layer3[0]  # pyright: ignore
    first = inner.act1(inner.bn1(inner.conv1(maps[2])))
    torch.testing.assert_close(found["block3_unit1_layer0"], first.mean((2, 3)))


@pytest.mark.parametrize("kind", ["timm", "open_clip"])
@torch.inference_mode()
def test_a_vits_groups_add_up_to_its_stream(kind: str) -> None:
    """Means are linear: what attention and MLPs add to the input is the output before the norm."""
    backbone: Any
    if kind == "timm":
        backbone = small_vit()
        backbone.norm = nn.Identity()
    else:
        backbone = clip_vit(no_ln_pre=True)
        backbone.ln_post = nn.Identity()
        backbone.proj = nn.Parameter(torch.eye(24))
    x = views(2)
    found = named(backbone, x, 1)
    added = sum(found[f"encoder_{i}_{part}"] for i in range(3) for part in ("attn", "mlp_2"))
    total = found["position_embedded_input"] + added
    torch.testing.assert_close(found["encoded_sequence"], total, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found["cls_embedded"], backbone(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found["pre_logits"], backbone(x), atol=1e-5, rtol=1e-5)
    position = backbone.pos_embed[0] if kind == "timm" else backbone.positional_embedding
    moved = found["position_embedded_input"] - found["root_output_with_cls"]
    torch.testing.assert_close(moved, position.mean(0).expand(2, -1), atol=1e-5, rtol=1e-5)
    hidden: Any = (
        backbone.blocks[0].mlp if kind == "timm" else backbone.transformer.resblocks[0].mlp
    )
    last = hidden.fc2 if kind == "timm" else hidden.c_proj
    torch.testing.assert_close(
        last(found["encoder_0_mlp_1"]), found["encoder_0_mlp_2"], atol=1e-5, rtol=1e-5
    )


def test_a_projected_trunk_of_open_clip_is_tapped() -> None:
    from open_clip.timm_model import TimmModel

    tower = TimmModel("resnet18", embed_dim=6, image_size=32, proj="linear", pool="avg")
    found = named(tower.eval(), views(2), 16)
    with torch.inference_mode():
        torch.testing.assert_close(found["projected"], tower(views(2)))


def test_the_order_is_that_of_the_network(backbone: nn.Module) -> None:
    names = list(Taps(backbone, 16).groups(32))
    assert names == list(Taps(copy.deepcopy(backbone), 64).groups(32))
    numbered = [n for n in names if n.startswith(("block", "encoder_"))]
    assert numbered == sorted(numbered, key=lambda n: [int(p) for p in _digits(n)])
    assert names[0] in ("after_root", "root_output_with_cls")
    assert names[-1] == "pre_logits"


def _digits(name: str) -> list[str]:
    found = "".join(c if c.isdigit() else " " for c in name).split()
    return found[:1] if name.startswith("encoder_") else found


@pytest.mark.parametrize("size", [1, 40, 200])
def test_groups_are_the_widths_of_the_columns(backbone: nn.Module, size: int) -> None:
    taps = Taps(backbone, size)
    with torch.inference_mode():
        x = taps(views(2))
    assert x.shape == (2, sum(taps.groups(32).values()))
    assert x.dtype == torch.float32


def test_an_image_does_not_depend_on_those_beside_it(backbone: nn.Module) -> None:
    taps = Taps(backbone, 40).eval()
    with torch.inference_mode():
        together = taps(views(5))
        apart = torch.cat([taps(one[None]) for one in views(5)])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)


def test_a_backbone_in_half_precision_gives_floats() -> None:
    taps = Taps(small_vit().to(torch.bfloat16), 40)
    assert taps(views(2).to(torch.bfloat16)).dtype == torch.float32


# ── The backbone stays as it was ─────────────────────────────────────────────────────────────────


def state(backbone: nn.Module) -> tuple[object, ...]:
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in backbone.modules())
    modes = [m.training for m in backbone.modules()]
    return hooks, modes, [t.clone() for t in backbone.state_dict().values()]


def same(a: tuple[object, ...], b: tuple[object, ...]) -> bool:
    tensors = zip(a[2], b[2], strict=True)  # pyright: ignore[reportArgumentType]
    return a[:2] == b[:2] and all(torch.equal(x, y) for x, y in tensors)


def test_the_backbone_is_not_changed(backbone: nn.Module) -> None:
    parts = list(backbone.children())
    parts[0].train()
    before = state(backbone)
    taps = Taps(backbone, 40)
    taps.groups(32)
    assert same(state(backbone), before)
    backbone.eval()
    before = state(backbone)
    taps.eval()(views(2))
    assert same(state(backbone), before)


def test_hooks_are_gone_after_an_error(backbone: nn.Module) -> None:
    class Broken(nn.Module):
        def forward(self, *_: object, **__: object) -> Tensor:
            raise OSError("broken")

    if isinstance(backbone, VisionTransformer):
        backbone.transformer.resblocks[1].mlp.gelu = Broken()  # pyright: ignore
    elif hasattr(backbone, "blocks"):
        backbone.blocks[1].mlp.act = Broken()  # pyright: ignore
    else:
        backbone.layer2[1].bn1 = Broken()  # pyright: ignore
    before = state(backbone)[:2]
    backbone.train()
    modes = state(backbone)[1]
    with pytest.raises(OSError, match="broken"):
        Taps(backbone, 40).groups(32)
    assert state(backbone)[:2] == (before[0], modes)


def test_gradients_pass_through() -> None:
    """For fine-tuning on top of what was selected."""
    backbone = small_resnet()
    Taps(backbone, 40)(views(2)).sum().backward()
    assert all(p.grad is not None for p in backbone.parameters())


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "convnext_atto", "res2net50_26w_4s"])
def test_other_networks_are_refused_by_name(name: str) -> None:
    with torch.device("meta"):
        network = timm.create_model(name, num_classes=0)
    with pytest.raises(ValueError, match=f"{type(network).__name__} are not known.*ResNets.*ViTs"):
        Taps(network, 512)


def test_no_features_are_refused() -> None:
    with pytest.raises(ValueError, match="size=0"):
        Taps(small_resnet(), 0)


def test_squares_asked_for_are_those_of_the_paper() -> None:
    assert math.isqrt(8192 // 64) == 11
    assert pool(torch.zeros(1, 64, 60, 60), 8192).shape[1] == 12 * 12 * 64
