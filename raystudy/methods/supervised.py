"""Supervised pre-training: a linear classifier over the source's labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from raystudy.kinds import Method
from raystudy.methods.robust import GCE, SCE

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


class Supervised(Method):
    """Cross-entropy on labels, optionally smoothed (Szegedy et al. 2016, arXiv 1512.00567), of
    images that are optionally mixed."""

    reads: ClassVar[frozenset[str]] = frozenset({"label"})
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    mixup_alpha: Annotated[float, Field(ge=0)] = 0.0
    cutmix_alpha: Annotated[float, Field(ge=0)] = 0.0
    """With both on, a chunk gets one or the other, each half the time."""
    robust: GCE | SCE | None = None
    """In place of cross-entropy, for labels that may be wrong; sees the smoothed targets."""

    @property
    def name(self) -> str:
        mixings = {"mixup": self.mixup_alpha, "cutmix": self.cutmix_alpha}
        return "-".join(
            [
                "supervised",
                *([self.robust.name] if self.robust else []),
                *(f"{mixing}-{alpha:g}" for mixing, alpha in mixings.items() if alpha),
            ]
        )

    @property
    def mixes(self) -> bool:
        return self.mixup_alpha > 0 or self.cutmix_alpha > 0

    def mix(
        self, view: Tensor, labels: Tensor, num_classes: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        if not self.mixes:
            return view, labels
        import torch

        from raystudy.methods.mixing import mix

        draws = torch.rand(4, generator=generator, dtype=torch.float64)
        return mix(view, labels, num_classes, (self.mixup_alpha, self.cutmix_alpha), draws)

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
        """``accuracy`` counts a mixed example by the class that has most of it."""
        from torch.nn.functional import cross_entropy

        logits_NxC = parts["head"](features[0]).float()
        hits_N = logits_NxC.detach().argmax(1) == (labels if labels.ndim == 1 else labels.argmax(1))
        if self.robust is None:
            loss = cross_entropy(logits_NxC, labels, label_smoothing=self.label_smoothing)
        else:
            loss = self.robust.loss(logits_NxC, self._smoothed(labels, logits_NxC))
        return {"loss": loss, "accuracy": hits_N.float().mean()}

    def zero_shot(
        self,
        parts: nn.ModuleDict,
        source_classes: Sequence[str],
        prompts: Sequence[Sequence[str]],
    ) -> nn.Module | None:
        """The rows of the classifier whose class has the *name* of the task's class.

        None unless every class of the task was a class of the source.
        """
        place = {name: row for row, name in enumerate(source_classes)}
        if any(names[0] not in place for names in prompts):
            return None
        from raystudy.classifier import rows_of

        head: Any = parts["head"]
        return rows_of(head, [place[names[0]] for names in prompts])

    def _smoothed(self, labels: Tensor, logits_NxC: Tensor) -> Tensor:
        """Targets (N, C), a share of each spread over all classes, as cross-entropy does it."""
        from torch.nn.functional import one_hot

        C = logits_NxC.shape[1]
        targets_NxC = (one_hot(labels, C) if labels.ndim == 1 else labels).to(logits_NxC.dtype)
        return targets_NxC * (1 - self.label_smoothing) + self.label_smoothing / C
