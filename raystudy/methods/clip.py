"""CLIP: images and captions share a space (Radford et al. 2021, arXiv 2103.00020)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from raystudy.kinds import Method
from raystudy.spec import Positive

if TYPE_CHECKING:
    from torch import Tensor, nn

    from raystudy.towers import Tokenizer

SIGLIP_SCALE, SIGLIP_BIAS = 10.0, -10.0
OWN_TOWER = ("embed_dim", "context_length", "text_width", "text_heads", "text_layers")


class CLIP(Method):
    """open_clip's text tower, tokenizer and loss beside the study's image backbone."""

    reads: ClassVar[frozenset[str]] = frozenset({"caption"})
    embed_dim: Positive = 64
    context_length: Positive = 24
    text_width: Positive = 64
    text_heads: Positive = 2
    text_layers: Positive = 2
    text: str | None = None
    """In place of the small tower above: an open_clip model, whose text tower, tokenizer and
    ``embed_dim`` are taken (``RN50``, ``ViT-B-16-SigLIP``), at random initialisation."""
    contrast: Literal["global", "local", "siglip"] = "global"
    """The softmax over the global batch; the same, of which each worker computes its own rows
    alone; or SigLIP's sigmoid of each pair (Zhai et al. 2023, arXiv 2303.15343)."""
    initial_scale: Annotated[float, Field(gt=0)] | None = None
    """Of the logits; by default 1 / 0.07, and 10 for SigLIP, whose bias begins at −10."""
    max_scale: Annotated[float, Field(gt=0)] = 100.0
    projects_images: bool = True
    """By a linear layer from the backbone's features to ``embed_dim``. A tower of open_clip ends in
    that space, and needs none."""

    @model_validator(mode="after")
    def _one_tower(self) -> Self:
        own = [n for n in OWN_TOWER if getattr(self, n) != type(self).model_fields[n].default]
        if self.text is not None and own:
            raise ValueError(
                f"CLIP.{own[0]} is of the small text tower, and CLIP.text={self.text!r} brings "
                f"its own; drop one of the two"
            )
        if self.initial_scale is not None and self.initial_scale > self.max_scale:
            raise ValueError(
                f"CLIP.initial_scale={self.initial_scale:g} is over "
                f"CLIP.max_scale={self.max_scale:g}"
            )
        return self

    @property
    def name(self) -> str:
        return "siglip" if self.contrast == "siglip" else "clip"

    def check(self) -> None:
        if self.text is not None:
            import torch

            from raystudy.towers import text_tower, tokenizer

            tokenizer(self.text, "CLIP.text")
            with torch.device("meta"):
                text_tower(self.text, "CLIP.text")

    def parts(self, num_features: int, num_classes: int) -> Mapping[str, nn.Module]:
        from torch import nn

        embed_dim, text = self._text_tower()
        if not self.projects_images and num_features != embed_dim:
            raise ValueError(
                f"CLIP.projects_images is off, but the backbone gives {num_features} features and "
                f"the text tower {embed_dim}"
            )
        return {
            "image_projection": (
                nn.Linear(num_features, embed_dim, bias=False)
                if self.projects_images
                else nn.Identity()
            ),
            "text": text,
            "logit_scale": self._temperature(),
        }

    def loss(
        self,
        parts: nn.ModuleDict,
        features: Sequence[Tensor],
        labels: Tensor,
        captions: Sequence[str],
    ) -> dict[str, Tensor]:
        """``accuracy``: how often an image's own caption is the nearest of the global batch."""
        import torch
        from torch.nn.functional import normalize

        from raystudy.methods.ranks import all_rows, rank_and_world

        image_NxD, text_NxE = parts["image_projection"](features[0]), self._encode(parts, captions)
        with torch.autocast(image_NxD.device.type, enabled=False):  # 16 bits would blur the logits
            image_NxE, text_NxE = normalize(image_NxD.float()), normalize(text_NxE.float())
            scale = self._scale(parts)
            loss = self._contrast(parts, image_NxE, text_NxE, scale)
            nearest_N = (image_NxE.detach() @ all_rows(text_NxE.detach()).T).argmax(1)
        N = len(nearest_N)
        own_N = torch.arange(N, device=nearest_N.device) + rank_and_world()[0] * N
        return {
            "loss": loss,
            "accuracy": (nearest_N == own_N).float().mean(),
            "logit_scale": scale.detach(),
        }

    def constrain(self, parts: nn.ModuleDict) -> None:
        _temperature_of(parts)["log"].clamp_(max=math.log(self.max_scale))

    def zero_shot(
        self,
        parts: nn.ModuleDict,
        source_classes: Sequence[str],
        prompts: Sequence[Sequence[str]],
    ) -> nn.Module | None:
        """Cosine to each class's mean prompt, scaled as in training. SigLIP's bias, the same for
        every class, is left out."""
        import torch
        from torch import nn
        from torch.nn.functional import normalize

        from raystudy.classifier import Cosine

        with torch.no_grad():
            means = [normalize(self._encode(parts, p)).mean(0) for p in prompts]
            cosine = Cosine(normalize(torch.stack(means)), self._scale(parts))
        return nn.Sequential(parts["image_projection"], cosine)

    def _text_tower(self) -> tuple[int, nn.Module]:
        """The width of the shared space, and tokens (N, L) → (N, E)."""
        from open_clip.transformer import TextTransformer

        from raystudy.towers import model_config, text_tower

        if self.text is not None:
            embed_dim = model_config(self.text, "CLIP.text")["embed_dim"]
            return embed_dim, text_tower(self.text, "CLIP.text")
        return self.embed_dim, TextTransformer(
            context_length=self.context_length,
            vocab_size=_small_tokenizer(self.context_length).vocab_size,
            width=self.text_width,
            heads=self.text_heads,
            layers=self.text_layers,
            output_dim=self.embed_dim,
        )

    def _temperature(self) -> nn.ParameterDict:
        import torch
        from torch import nn

        # Vectors of one element: FSDP shards no scalar.
        siglip = self.contrast == "siglip"
        scale = self.initial_scale or (SIGLIP_SCALE if siglip else 1 / 0.07)
        values = {"log": torch.tensor([math.log(scale)])}
        if siglip:
            values["bias"] = torch.tensor([SIGLIP_BIAS])
        temperature = nn.ParameterDict(values)
        temperature.register_load_state_dict_pre_hook(_accept_scalars)
        return temperature

    def _contrast(
        self, parts: nn.ModuleDict, image_NxE: Tensor, text_NxE: Tensor, scale: Tensor
    ) -> Tensor:
        from open_clip.loss import ClipLoss, SigLipLoss

        from raystudy.methods.ranks import rank_and_world

        rank, world = rank_and_world()
        if self.contrast == "siglip":
            bias = _temperature_of(parts)["bias"].float().squeeze()
            return SigLipLoss(rank=rank, world_size=world)(image_NxE, text_NxE, scale, bias)
        contrast = ClipLoss(self.contrast == "local", True, rank=rank, world_size=world)
        return contrast(image_NxE, text_NxE, scale)

    def _encode(self, parts: nn.ModuleDict, captions: Sequence[str]) -> Tensor:
        """N captions → (N, E), not normalised."""
        tokens_NxL = self._tokenizer(list(captions))
        return parts["text"](tokens_NxL.to(_temperature_of(parts)["log"].device))

    @property
    def _tokenizer(self) -> Tokenizer:
        if self.text is None:
            return _small_tokenizer(self.context_length)
        from raystudy.towers import tokenizer

        return tokenizer(self.text, "CLIP.text")

    def _scale(self, parts: nn.ModuleDict) -> Tensor:
        import torch

        # Clamped here too, for weights that were never constrained; by a tensor, so that a value
        # that was is not over the bound by a rounding, and without a gradient.
        log_scale = _temperature_of(parts)["log"].float().squeeze()
        return log_scale.clamp(max=torch.full_like(log_scale, math.log(self.max_scale))).exp()


def _temperature_of(parts: nn.ModuleDict) -> Any:
    return parts["logit_scale"]


def _accept_scalars(
    module: nn.Module, state: dict[str, Tensor], prefix: str, *others: object
) -> None:
    """Weights published before the temperature was a vector hold it as a scalar."""
    for name in module.state_dict():
        if prefix + name in state:
            state[prefix + name] = state[prefix + name].reshape(1)


@lru_cache(maxsize=4)
def _small_tokenizer(context_length: int) -> Any:
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer(context_length=context_length)
