"""A decoder-only transformer over tokens: what it is, without what it is built of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from raystudy.kinds import Modality, Network, Unit

if TYPE_CHECKING:
    from raystudy.shards.image import Region
    from raystudy.shards.table import Fault

Positive = Annotated[int, Field(gt=0)]
TOKEN = np.dtype("<u2")
"""Of a token, in memory and on disk."""
LAST_TOKEN = (1 << 16) - 1


class Decoder(Network):
    """Pre-norm blocks of causal attention and a four times wider MLP, learned positions, the output
    tied to the embedding (Radford et al. 2019). ``raystudy.transformer`` builds it.

    Sizes are compared by ``num_parameters``, as scaling laws count them: without embeddings.
    """

    VERSION: ClassVar[int] = 1
    modality: ClassVar[Modality] = "tokens"
    num_layers: Positive = 2
    width: Positive = 64
    num_heads: Positive = 2
    context: Positive = 128
    """T, tokens that it looks back on at most."""
    vocabulary: Annotated[int, Field(gt=0, le=1 << 16)] = 257
    """V; that of ``Bytes`` by default."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.num_heads:
            raise ValueError(
                f"Decoder.width={self.width} is not a multiple of num_heads={self.num_heads}"
            )
        return self

    @property
    def title(self) -> str:
        """ "decoder 99k", by its parameters without embeddings."""
        return self.label or f"decoder {_short(self.num_parameters)}"

    @property
    def num_parameters(self) -> int:
        """Of the blocks and the last norm; embeddings of tokens and positions are not counted
        (Kaplan et al. 2020, arXiv 2001.08361, section 2.1)."""
        return self.num_layers * (12 * self.width**2 + 4 * self.width) + 2 * self.width

    @property
    def example_shape(self) -> tuple[int, ...]:
        """A context and the token after it: (T + 1,)."""
        return (self.context + 1,)

    @property
    def example_dtype(self) -> np.dtype[Any]:
        return TOKEN

    @property
    def unit(self) -> Unit:
        return "tokens", self.context

    @property
    def guessed_flops(self) -> float | None:
        """Six for each parameter that multiplies and each token, the output's among them, and those
        of attention: all that ``raystudy.cost`` counts."""
        T, d = self.context, self.width
        products = self.num_layers * (12 * d**2 + 2 * T * d) + self.vocabulary * d
        return 6.0 * T * products

    def decode(self, data: bytes, out: NDArray[Any], region: Region | None) -> Fault | None:
        from raystudy.shards.table import Fault

        if len(data) != out.nbytes:
            return Fault.OTHER_CONTEXT
        tokens = np.frombuffer(data, TOKEN)
        out[:] = tokens
        unknown = self.vocabulary <= LAST_TOKEN and tokens.max() >= self.vocabulary
        return Fault.UNKNOWN_TOKEN if unknown else None


def _short(count: int) -> str:
    """786 k is "786k", 1.5 million "1.5M"."""
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            return f"{count / unit:.3g}{name}"
    return str(count)
