"""The decoder-only transformer in plain torch.

Shapes: N contexts of T tokens, D the width, H heads of D / H, V tokens of the vocabulary.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn.functional import gelu, linear, scaled_dot_product_attention

from raystudy.decoder import Decoder

EMBEDDING_STD = 0.02


class Transformer(nn.Module):
    """Tokens (N, T) → logits (N, T, V) of the tokens that follow."""

    def __init__(self, spec: Decoder) -> None:
        super().__init__()
        self.num_features = spec.vocabulary
        self.tokens = nn.Embedding(spec.vocabulary, spec.width)
        self.positions = nn.Embedding(spec.context, spec.width)
        self.blocks = nn.Sequential(*(Block(spec) for _ in range(spec.num_layers)))
        self.norm = nn.LayerNorm(spec.width)
        self._initialise(spec)

    def forward(self, tokens_NxT: Tensor) -> Tensor:
        x_NxTxD = self.tokens(tokens_NxT) + self.positions.weight[: tokens_NxT.shape[1]]
        return linear(self.norm(self.blocks(x_NxTxD)), self.tokens.weight)

    def _initialise(self, spec: Decoder) -> None:
        """Every layer keeps the variance of what it is given; what the blocks add to the residual
        stream has in sum the variance of one of them. The embedding is as small as leaves the first
        logits near zero, for it is the output too."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
        for name, weight in self.named_parameters():
            if name.endswith(("attention.out.weight", "mlp_out.weight")):
                weight.data.mul_(1 / math.sqrt(2 * spec.num_layers))
        nn.init.normal_(self.tokens.weight, std=EMBEDDING_STD)
        nn.init.normal_(self.positions.weight, std=EMBEDDING_STD)


class Block(nn.Module):
    """Attention, then an MLP, each added to what it reads."""

    def __init__(self, spec: Decoder) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(spec.width)
        self.attention = Attention(spec)
        self.mlp_norm = nn.LayerNorm(spec.width)
        self.mlp_in = nn.Linear(spec.width, 4 * spec.width, bias=False)
        self.mlp_out = nn.Linear(4 * spec.width, spec.width, bias=False)

    def forward(self, x_NxTxD: Tensor) -> Tensor:
        x_NxTxD = x_NxTxD + self.attention(self.attention_norm(x_NxTxD))
        return x_NxTxD + self.mlp_out(gelu(self.mlp_in(self.mlp_norm(x_NxTxD))))


class Attention(nn.Module):
    """Causal, of several heads."""

    def __init__(self, spec: Decoder) -> None:
        super().__init__()
        self.num_heads = spec.num_heads
        self.qkv = nn.Linear(spec.width, 3 * spec.width, bias=False)
        self.out = nn.Linear(spec.width, spec.width, bias=False)

    def forward(self, x_NxTxD: Tensor) -> Tensor:
        N, T, D = x_NxTxD.shape
        q, k, v = (
            part.view(N, T, self.num_heads, -1).transpose(1, 2)
            for part in self.qkv(x_NxTxD).chunk(3, dim=-1)
        )
        mixed_NxHxTxE = scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed_NxHxTxE.transpose(1, 2).reshape(N, T, D))
