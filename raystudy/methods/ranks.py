"""What the other workers of a pre-training hold of the global batch."""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_gather


def rank_and_world() -> tuple[int, int]:
    """This worker's number, and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def all_rows(rows_NxE: Tensor) -> Tensor:
    """The rows of every worker in the order of ranks, (M, E), with gradients to all of them."""
    _, world = rank_and_world()
    return torch.cat(all_gather(rows_NxE)) if world > 1 else rows_NxE
