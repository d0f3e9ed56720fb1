"""SimCLR: two views of one image agree (Chen et al. 2020, arXiv 2002.05709)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from raystudy.kinds import Method
from raystudy.spec import Positive

if TYPE_CHECKING:
    from torch import Tensor, nn


class SimCLR(Method):
    """NT-Xent over the global batch, behind a projector with batch norm between its layers.

    With an ``open_clip/RN50`` backbone, three layers, ``projector_hidden=4096`` and
    ``projector_width=256`` it is the SimCLR of SLIP (Mu et al. 2021, arXiv 2112.12750), save that
    the last layer has no bias.
    """

    reads: ClassVar[frozenset[str]] = frozenset()
    num_views: ClassVar[int] = 2
    temperature: Annotated[float, Field(gt=0)] = 0.1
    projector_hidden: Positive = 256
    projector_width: Positive = 64
    projector_layers: Literal[2, 3] = 2

    @property
    def name(self) -> str:
        return "simclr"

    def parts(self, num_features: int, num_classes: int) -> Mapping[str, nn.Module]:
        from torch import nn

        hidden = [self.projector_hidden] * (self.projector_layers - 1)
        layers: list[nn.Module] = []
        for before, after in pairwise([num_features, *hidden]):
            layers += [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after)]
            layers += [nn.ReLU(inplace=True)]
        layers += [nn.Linear(hidden[-1], self.projector_width, bias=False)]
        return {"projector": nn.Sequential(*layers)}

    def loss(
        self,
        parts: nn.ModuleDict,
        features: Sequence[Tensor],
        labels: Tensor,
        captions: Sequence[str],
    ) -> dict[str, Tensor]:
        import torch
        from torch.nn.functional import normalize

        projected = parts["projector"](torch.cat(list(features)))
        with torch.autocast(projected.device.type, enabled=False):  # 16 bits would blur the scores
            a_NxE, b_NxE = normalize(projected.float()).chunk(2)
            loss, accuracy = nt_xent(a_NxE, b_NxE, self.temperature)
        return {"loss": loss, "accuracy": accuracy}


def nt_xent(a_NxE: Tensor, b_NxE: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Loss (their eq. 1) of unit vectors whose rows pair up, and how often the pair is nearest.

    Across ranks every other view of the global batch is a negative, with gradients to all of them.
    """
    import torch
    from torch.nn.functional import cross_entropy

    from raystudy.methods.ranks import all_rows, rank_and_world

    all_a_MxE, all_b_MxE = all_rows(a_NxE), all_rows(b_NxE)
    N, M = len(a_NxE), len(all_a_MxE)
    here = torch.arange(N, device=a_NxE.device) + rank_and_world()[0] * N
    itself = torch.cat([here, here + M])
    other = torch.cat([here + M, here])
    scores = torch.cat([a_NxE, b_NxE]) @ torch.cat([all_a_MxE, all_b_MxE]).T / temperature
    scores = scores.scatter(1, itself[:, None], float("-inf"))
    accuracy = (scores.detach().argmax(1) == other).float().mean()
    return cross_entropy(scores, other), accuracy
