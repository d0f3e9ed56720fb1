"""Supervised pre-training: a linear classifier over the source's labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from raystudy.kinds import Method

if TYPE_CHECKING:
    from torch import Tensor, nn


class Supervised(Method):
    """Cross-entropy on labels, optionally smoothed (Szegedy et al. 2016, arXiv 1512.00567)."""

    reads: ClassVar[frozenset[str]] = frozenset({"label"})
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def name(self) -> str:
        return "supervised"

    def parts(self, num_features: int, num_classes: int) -> Mapping[str, nn.Module]:
        from torch import nn

        return {"head": nn.Linear(num_features, num_classes)}

    def loss(
        self,
        parts: nn.ModuleDict,
        features: Sequence[Tensor],
        labels: Tensor,
        captions: Sequence[str],
    ) -> dict[str, Tensor]:
        from torch.nn.functional import cross_entropy

        logits_NxC = parts["head"](features[0])
        hits_N = logits_NxC.detach().argmax(1) == labels
        return {
            "loss": cross_entropy(logits_NxC, labels, label_smoothing=self.label_smoothing),
            "accuracy": hits_N.float().mean(),
        }

    def zero_shot(
        self,
        parts: nn.ModuleDict,
        source_classes: Sequence[str],
        prompts: Sequence[Sequence[str]],
    ) -> Callable[[Tensor], Tensor] | None:
        """The rows of the classifier whose class has the *name* of the task's class.

        None unless every class of the task was a class of the source.
        """
        place = {name: row for row, name in enumerate(source_classes)}
        if any(names[0] not in place for names in prompts):
            return None
        rows = [place[names[0]] for names in prompts]
        return lambda features: parts["head"](features)[:, rows]
