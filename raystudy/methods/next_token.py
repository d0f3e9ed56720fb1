"""Next-token prediction: each token of a context from those before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from raystudy.kinds import Method, Modality

if TYPE_CHECKING:
    from torch import Tensor, nn


class NextToken(Method):
    """Cross-entropy of the token that follows, in nats, averaged over all tokens of the batch."""

    VERSION: ClassVar[int] = 1
    modality: ClassVar[Modality] = "tokens"
    reads: ClassVar[frozenset[str]] = frozenset()

    @property
    def name(self) -> str:
        return "next-token"

    def parts(self, num_features: int, num_classes: int) -> Mapping[str, nn.Module]:
        return {}

    def loss(
        self,
        parts: nn.ModuleDict,
        features: Sequence[Tensor],
        labels: Tensor,
        captions: Sequence[str],
    ) -> dict[str, Tensor]:
        from torch.nn.functional import cross_entropy

        (logits_NxTxV,) = features
        return {"loss": cross_entropy(logits_NxTxV.flatten(0, 1).float(), labels.flatten())}
