"""Taps: what every layer of a backbone sees, pooled to about as many features each.

Pooling and choice of layers follow U. Evci et al., *Head2Toe: Utilizing Intermediate
Representations for Better Transfer Learning*, ICML 2022 (arXiv 2201.03529), and its code. The
pooled values are not normalised: that is up to who reads them.

Shapes: B images, S pixels a side, C channels, N tokens, G features of one group.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import open_clip.modified_resnet
import open_clip.transformer
import torch
from open_clip.timm_model import TimmModel
from timm.models import resnet, vision_transformer
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, avg_pool2d


class Taps(nn.Module):
    """(B, 3, S, S) → (B, D) float32: the groups of all layers side by side, in network order.

    Layers are read by hooks that are there only while images pass, so the backbone stays as it
    was. In evaluation mode an image's features do not depend on those beside it.

    Args:
        backbone: a ResNet of basic or bottleneck blocks, or a ViT, of timm or open_clip. One
            without a classifier has no group ``logits``.
        size: T, to how many features a layer is pooled, about.

    Raises ValueError for another kind of network.
    """

    def __init__(self, backbone: nn.Module, size: int) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"Taps.size={size}: must be 1 or more features")
        self.backbone = backbone
        self.size = size
        taps_of(backbone)

    def groups(self, image_size: int) -> dict[str, int]:
        """Layer → G, in the order of the columns; found by showing it an empty image."""
        like = next(self.backbone.parameters())
        image = like.new_zeros(1, 3, image_size, image_size)
        with torch.inference_mode(), _evaluating(self.backbone):
            return {name: x.shape[1] for name, x in self._read(image)[0].items()}

    def forward(self, views_Bx3xSxS: Tensor) -> Tensor:
        return self.with_output(views_Bx3xSxS)[0]

    def with_output(self, views_Bx3xSxS: Tensor) -> tuple[Tensor, Any]:
        """The taps, and what the backbone itself gives, of one pass."""
        found, output = self._read(views_Bx3xSxS)
        return torch.cat([x.float() for x in found.values()], 1), output

    def _read(self, views: Tensor) -> tuple[dict[str, Tensor], Any]:
        taps, found = taps_of(self.backbone), dict[str, Tensor]()
        with ExitStack() as hooks:
            for tap in taps:
                # Pooled on the spot: whole maps of all layers would not fit in memory, and an
                # activation that works in place may overwrite them later.
                hooks.enter_context(
                    tap.hook(lambda x, name=tap.name: found.update({name: pool(x, self.size)}))
                )
            output = self.backbone(views)
        if lost := [tap.name for tap in taps if tap.name not in found]:
            raise RuntimeError(f"{type(self.backbone).__name__} did not pass through {lost[0]}")
        return {tap.name: found[tap.name] for tap in taps}, output


def pool(x: Tensor, size: int) -> Tensor:
    """Maps (B, C, H, W), tokens (B, N, C) or features (B, C) to features (B, G), G about ``size``.

    Maps are averaged over squares, n = ⌊√⌊size/C⌋⌋ to a side by intention and more where n does not
    divide H; tokens over runs of ⌊N/(size/C)⌋ in raster order, class token first. What is left
    over at the end is dropped. Means over all where there are ``size`` channels or more, and also
    where less than one pixel or token would be averaged: so a larger ``size`` may give fewer.
    """
    if x.ndim == 2:
        return x
    if x.ndim == 4:
        C, H = x.shape[1:3]
        side = 0 if size <= C else H // int(math.sqrt(size // C))
        if side == 0:
            return x.mean((2, 3))
        # Row, column, channel: as the code of the paper flattens.
        return avg_pool2d(x, side).permute(0, 2, 3, 1).flatten(1)
    if x.ndim == 3:
        N, C = x.shape[1:]
        run = 0 if size <= C else int(N / (size / C))
        if run == 0:
            return x.mean(1)
        return avg_pool1d(x.transpose(1, 2), run).transpose(1, 2).flatten(1)
    raise ValueError(f"a layer gave shape {tuple(x.shape)}; maps, tokens or features are pooled")


@dataclass(frozen=True)
class Tap:
    """A layer that is read: what a module takes or gives, as ``read`` sees it."""

    name: str
    module: nn.Module
    side: Literal["input", "output"] = "output"
    read: Callable[[Any], Tensor] = lambda x: x

    def hook(self, note: Callable[[Tensor], None]) -> Any:
        """A handle that ends with its ``with`` block."""
        if self.side == "input":
            return self.module.register_forward_pre_hook(lambda _, x: note(self.read(x[0])))
        return self.module.register_forward_hook(lambda _, x, y: note(self.read(y)))


def taps_of(backbone: nn.Module) -> tuple[Tap, ...]:
    """The layers of a backbone that are read, in network order.

    Raises ValueError for one whose layers are not known here.
    """
    match backbone:
        case TimmModel():
            projected = (Tap("projected", backbone.head),) if len(backbone.head) else ()
            return (*taps_of(backbone.trunk), *projected)
        case resnet.ResNet() if _all_are(_blocks(backbone), resnet.BasicBlock, resnet.Bottleneck):
            head = [Tap("pre_logits", backbone.global_pool)]
            if not isinstance(backbone.fc, nn.Identity):
                head.append(Tap("logits", backbone.fc))
            return (*_resnet(backbone, backbone.maxpool), *head)
        case open_clip.modified_resnet.ModifiedResNet():
            return *_resnet(backbone, backbone.avgpool), Tap("pre_logits", backbone.attnpool)
        case vision_transformer.VisionTransformer() if _all_are(
            backbone.blocks, vision_transformer.Block
        ):
            return _timm_vit(backbone)
        case open_clip.transformer.VisionTransformer() if (
            backbone.pool_type == "tok"
            and not backbone.final_ln_after_pool
            and _all_are(
                backbone.transformer.resblocks, open_clip.transformer.ResidualAttentionBlock
            )
        ):
            return _open_clip_vit(backbone)
    raise ValueError(
        f"the layers of {type(backbone).__name__} are not known to raystudy.taps; those of "
        "ResNets of basic or bottleneck blocks and of plain ViTs are, of timm and open_clip"
    )


# ── Layers, by network ───────────────────────────────────────────────────────────────────────────


def _resnet(backbone: nn.Module, root: nn.Module) -> list[Tap]:
    """Behind every non-linearity: the stem's (pooled), and two or three of each block, of which
    the last is behind the sum."""
    taps = [Tap("after_root", root)]
    for b, stage in enumerate(_stages(backbone), 1):
        for u, block in enumerate(stage, 1):
            activations = [m for m in ("act1", "act2", "act3") if hasattr(block, m)]
            for layer, name in enumerate(activations):
                taps.append(Tap(f"block{b}_unit{u}_layer{layer}", getattr(block, name)))
    return [*taps, Tap("pre_logits_pre_pooling", _stages(backbone)[-1])]


def _timm_vit(vit: Any) -> tuple[Tap, ...]:
    prefix = [t for t in (vit.cls_token, vit.reg_token) if t is not None]

    def with_prefix(patches: Tensor) -> Tensor:
        """Patches (B, N, C), or (B, H, W, C) where sizes may vary, behind the tokens put first."""
        patches = patches.flatten(1, -2)
        return torch.cat([*(t.expand(len(patches), -1, -1) for t in prefix), patches], 1)

    taps = [
        Tap("root_output_with_cls", vit.patch_embed, read=with_prefix),
        Tap("position_embedded_input", vit.norm_pre, "input"),
    ]
    for i, block in enumerate(vit.blocks):
        taps += [
            Tap(f"encoder_{i}_pre_attn", block.norm1),
            Tap(f"encoder_{i}_attn", block.attn),
            Tap(f"encoder_{i}_mlp_1", block.mlp.fc2, "input"),
            Tap(f"encoder_{i}_mlp_2", block.mlp),
        ]
    taps.append(Tap("encoded_sequence", vit.norm))
    if vit.cls_token is not None:
        taps.append(Tap("cls_embedded", vit.norm, read=lambda x: x[:, 0]))
    return *taps, Tap("pre_logits", vit.head, "input")


def _open_clip_vit(vit: Any) -> tuple[Tap, ...]:
    def with_class(patches: Tensor) -> Tensor:
        patches = patches.flatten(2).transpose(1, 2)
        return torch.cat([vit.class_embedding.expand(len(patches), 1, -1), patches], 1)

    taps = [
        Tap("root_output_with_cls", vit.conv1, read=with_class),
        Tap("position_embedded_input", vit.ln_pre, "input"),
    ]
    for i, block in enumerate(vit.transformer.resblocks):
        taps += [
            Tap(f"encoder_{i}_pre_attn", block.ln_1),
            Tap(f"encoder_{i}_attn", block.attn, read=lambda x: x[0]),
            Tap(f"encoder_{i}_mlp_1", block.mlp.c_proj, "input"),
            Tap(f"encoder_{i}_mlp_2", block.mlp),
        ]
    return (
        *taps,
        Tap("encoded_sequence", vit.ln_post),
        Tap("cls_embedded", vit.ln_post, read=lambda x: x[:, 0]),
        Tap("pre_logits", vit, read=lambda x: x[0] if isinstance(x, tuple) else x),
    )


def _stages(backbone: Any) -> list[Any]:
    return [backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4]


def _blocks(backbone: nn.Module) -> list[nn.Module]:
    return [block for stage in _stages(backbone) for block in stage]


def _all_are(modules: Any, *kinds: type[nn.Module]) -> bool:
    """Exactly, for a block of another forward pass has other layers."""
    return all(type(module) in kinds for module in modules)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """In evaluation mode, each part as it was before afterwards."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True
