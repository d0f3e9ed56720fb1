"""SimCLR: two views of one image agree (Chen et al. 2020, arXiv 2002.05709)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from raystudy.kinds import Method
from raystudy.spec import Positive

if TYPE_CHECKING:
    from torch import Tensor, nn


class SimCLR(Method):
    """NT-Xent over the global batch, behind a projector of two layers."""

    reads: ClassVar[frozenset[str]] = frozenset()
    num_views: ClassVar[int] = 2
    temperature: Annotated[float, Field(gt=0)] = 0.1
    projector_hidden: Positive = 256
    projector_width: Positive = 64

    @property
    def name(self) -> str:
        return "simclr"

    def parts(self, num_features: int, num_classes: int) -> Mapping[str, nn.Module]:
        from torch import nn

        return {
            "projector": nn.Sequential(
                nn.Linear(num_features, self.projector_hidden, bias=False),
                nn.BatchNorm1d(self.projector_hidden),
                nn.ReLU(inplace=True),
                nn.Linear(self.projector_hidden, self.projector_width, bias=False),
            )
        }

    def loss(
        self,
        parts: nn.ModuleDict,
        features: Sequence[Tensor],
        labels: Tensor,
        captions: Sequence[str],
    ) -> dict[str, Tensor]:
        import torch
        from torch.nn.functional import normalize

        a_NxE, b_NxE = normalize(parts["projector"](torch.cat(list(features)))).chunk(2)
        loss, accuracy = nt_xent(a_NxE, b_NxE, self.temperature)
        return {"loss": loss, "accuracy": accuracy}


def nt_xent(a_NxE: Tensor, b_NxE: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Loss (their eq. 1) of unit vectors whose rows pair up, and how often the pair is nearest.

    Across ranks every other view of the global batch is a negative, with gradients to all of them.
    """
    import torch
    import torch.distributed as dist
    from torch.distributed.nn.functional import all_gather
    from torch.nn.functional import cross_entropy

    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    all_a_MxE = torch.cat(all_gather(a_NxE)) if world > 1 else a_NxE
    all_b_MxE = torch.cat(all_gather(b_NxE)) if world > 1 else b_NxE
    N, M = len(a_NxE), len(all_a_MxE)
    here = torch.arange(N, device=a_NxE.device) + rank * N
    itself = torch.cat([here, here + M])
    other = torch.cat([here + M, here])
    scores = torch.cat([a_NxE, b_NxE]) @ torch.cat([all_a_MxE, all_b_MxE]).T / temperature
    scores = scores.scatter(1, itself[:, None], float("-inf"))
    accuracy = (scores.detach().argmax(1) == other).float().mean()
    return cross_entropy(scores, other), accuracy
