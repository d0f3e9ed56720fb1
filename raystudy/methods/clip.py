"""CLIP: images and captions share a space (Radford et al. 2021, arXiv 2103.00020)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from raystudy.kinds import Method
from raystudy.spec import Positive

if TYPE_CHECKING:
    from open_clip.tokenizer import SimpleTokenizer
    from torch import Tensor, nn

MAX_LOGIT_SCALE = 100.0


class CLIP(Method):
    """open_clip's text tower, tokenizer and loss beside the study's image backbone."""

    reads: ClassVar[frozenset[str]] = frozenset({"caption"})
    embed_dim: Positive = 64
    context_length: Positive = 24
    text_width: Positive = 64
    text_heads: Positive = 2
    text_layers: Positive = 2

    @property
    def name(self) -> str:
        return "clip"

    def parts(self, num_features: int, num_classes: int) -> Mapping[str, nn.Module]:
        import torch
        from open_clip.transformer import TextTransformer
        from torch import nn

        return {
            "image_projection": nn.Linear(num_features, self.embed_dim, bias=False),
            "text": TextTransformer(
                context_length=self.context_length,
                vocab_size=_tokenizer(self.context_length).vocab_size,
                width=self.text_width,
                heads=self.text_heads,
                layers=self.text_layers,
                output_dim=self.embed_dim,
            ),
            "logit_scale": nn.ParameterDict({"log": torch.tensor(math.log(1 / 0.07))}),
        }

    def loss(
        self,
        parts: nn.ModuleDict,
        features: Sequence[Tensor],
        labels: Tensor,
        captions: Sequence[str],
    ) -> dict[str, Tensor]:
        import torch
        import torch.distributed as dist
        from open_clip.loss import ClipLoss
        from torch.nn.functional import normalize

        image_NxE = normalize(parts["image_projection"](features[0]))
        text_NxE = normalize(self._encode(parts, captions))
        scale = _scale(parts)
        rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        contrast = ClipLoss(gather_with_grad=True, rank=rank, world_size=world)
        nearest_N = (image_NxE @ text_NxE.T).detach().argmax(1)
        hits_N = nearest_N == torch.arange(len(nearest_N), device=nearest_N.device)
        return {
            "loss": contrast(image_NxE, text_NxE, scale),
            "accuracy": hits_N.float().mean(),
            "logit_scale": scale.detach(),
        }

    def zero_shot(
        self,
        parts: nn.ModuleDict,
        source_classes: Sequence[str],
        prompts: Sequence[Sequence[str]],
    ) -> Callable[[Tensor], Tensor] | None:
        """Cosine to each class's mean prompt, scaled as in training."""
        import torch
        from torch.nn.functional import normalize

        with torch.inference_mode():
            means = [normalize(self._encode(parts, p)).mean(0) for p in prompts]
            classes_CxE = normalize(torch.stack(means))
            scale = _scale(parts)
        return lambda features: (
            scale * normalize(parts["image_projection"](features)) @ classes_CxE.T
        )

    def _encode(self, parts: nn.ModuleDict, captions: Sequence[str]) -> Tensor:
        """N captions → (N, E), not normalised."""
        tokens_NxL = _tokenizer(self.context_length)(list(captions))
        device = next(parts["image_projection"].parameters()).device
        return parts["text"](tokens_NxL.to(device))


def _scale(parts: nn.ModuleDict) -> Tensor:
    # Clamped where it is used, so that the value in use is the value that is saved.
    return parts["logit_scale"]["log"].clamp(max=math.log(MAX_LOGIT_SCALE)).exp()  # pyright: ignore[reportIndexIssue]


@lru_cache(maxsize=4)
def _tokenizer(context_length: int) -> SimpleTokenizer:
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer(context_length=context_length)
