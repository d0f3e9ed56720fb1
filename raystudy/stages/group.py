"""Several workers are one: the fabric over a group of processes of ``torch.distributed``.

With as many workers every sum is taken in the same order, in each run and after each resume, so
results are bitwise the same. With more or fewer workers they differ by rounding alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from raystudy.batch_norm import over_workers
from raystudy.stages.fabric import MAX_BAD_RATE, Fabric, Report
from raystudy.store import Store


class GroupFabric(Fabric):
    """One worker of torch's default group, which is gloo on CPUs and NCCL on GPUs."""

    def __init__(
        self,
        store: Store,
        key: str,
        report: Report,
        checkpoint_interval_s: float = 30.0,
        max_bad_rate: float = MAX_BAD_RATE,
        *,
        sharded: bool = False,
        compiled: bool = False,
    ) -> None:
        """``sharded``: a worker holds its part of the weights and of the optimiser's state (FSDP2;
        Zhao et al. 2023, arXiv 2304.11277) in place of all of them (DDP). ``compiled``: the
        backbone goes through ``torch.compile``."""
        super().__init__(store, key, checkpoint_interval_s, max_bad_rate)
        self._report = report
        self._sharded = sharded and self.num_workers > 1
        self._compiled = compiled
        self._whole_like: dict[str, Tensor] = {}
        """How each parameter lies in memory where it is not sharded."""

    @property
    def rank(self) -> int:
        return dist.get_rank()

    @property
    def num_workers(self) -> int:
        return dist.get_world_size()

    @property
    def device(self) -> torch.device:
        if dist.get_backend() == "gloo":
            return torch.device("cpu")
        return torch.device("cuda", torch.cuda.current_device())

    def wrap(self, objective: nn.Module) -> nn.Module:
        """``objective`` must have its backbone as ``backbone``. Raises TypeError for a backbone
        with a norm that cannot be taken over several workers."""
        objective = over_workers(objective.to(self.device))
        if self._compiled:
            objective.get_submodule("backbone").compile()
        if self._sharded:
            return self._shard(objective)
        return self._replicate(objective) if self.num_workers > 1 else objective

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        grads = [p.grad for p in parameters if p.grad is not None]
        if self.num_workers == 1 or not grads:
            return
        flat = torch.cat([g.flatten() for g in grads])
        dist.all_reduce(flat)
        flat /= self.num_workers
        for grad, mean in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
            grad.copy_(mean.view(grad.shape))

    def mean(self, metrics: Mapping[str, Tensor]) -> dict[str, float]:
        values = torch.stack(
            [_whole(v).double().reshape(()).to(self.device) for v in metrics.values()]
        )
        if self.num_workers > 1:
            dist.all_reduce(values)
            values /= self.num_workers
        return dict(zip(metrics, values.tolist(), strict=True))

    def report(self, step: int, metrics: Mapping[str, float]) -> None:
        if self.rank == 0:
            self._report(self.key, step, metrics)

    def checkpoint_is_due(self) -> bool:
        """By the clock of rank 0; if sharded, on every worker, as each must hand in its part."""
        due = super().checkpoint_is_due()
        if not self._sharded:
            return due
        told = torch.tensor(due, device=self.device)
        dist.broadcast(told, src=0)
        return bool(told)

    def state(self, objective: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
        """If sharded, whole on rank 0 and nothing elsewhere: it may not fit everywhere at once."""
        state = super().state(objective, optimiser)
        if not self._sharded:
            return state
        names = {p: name for name, p in objective.named_parameters()}
        in_order = [names[p] for p in _parameters(optimiser)]
        weights = {name: self._gathered(v, name) for name, v in state["objective"].items()}
        moments = {
            i: {k: self._gathered(v, "" if k == "step" else in_order[i]) for k, v in held.items()}
            for i, held in state["optimiser"]["state"].items()
        }
        return {"objective": weights, "optimiser": state["optimiser"] | {"state": moments}}

    def load(
        self, objective: nn.Module, optimiser: torch.optim.Optimizer, state: Mapping[str, Any]
    ) -> None:
        if not self._sharded:
            super().load(objective, optimiser, state)
            return
        own, parameters = objective.state_dict(), _parameters(optimiser)
        weights = {name: _part(v, own[name]) for name, v in state["objective"].items()}
        moments = {
            i: {k: v if k == "step" else _part(v, parameters[i]) for k, v in held.items()}
            for i, held in state["optimiser"]["state"].items()
        }
        whole = {"objective": weights, "optimiser": state["optimiser"] | {"state": moments}}
        super().load(objective, optimiser, whole)

    def _replicate(self, objective: nn.Module) -> nn.Module:
        # After the first step of a process DDP lays out its buckets anew, so that a resumed run
        # would add up in another order; where it looks for unused parameters it does not. Two
        # numbers add up the same in either order.
        model = DistributedDataParallel(
            objective,
            device_ids=[self.device] if self.device.type == "cuda" else None,
            gradient_as_bucket_view=True,
            find_unused_parameters=self.num_workers > 2,
        )
        model.broadcast_buffers = False  # every worker computes the same
        return model

    def _shard(self, objective: nn.Module) -> nn.Module:
        self._whole_like = {name: p.detach().to("meta") for name, p in objective.named_parameters()}
        # FSDP2 shards contiguous tensors only, by their first dimension.
        objective.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
        mesh = init_device_mesh(self.device.type, (self.num_workers,))
        for block in _blocks(objective.get_submodule("backbone")):
            fully_shard(block, mesh=mesh)
        fully_shard(objective, mesh=mesh)
        return objective

    def _gathered(self, value: Any, name: str) -> Any:
        """On rank 0, the whole of what belongs to the parameter or buffer ``name``."""
        if not isinstance(value, Tensor):
            return value
        value = _whole(value)
        if self.rank != 0:
            return None
        like = self._whole_like.get(name)
        if like is None:
            return value.to("cpu", copy=True)
        # Fused optimisers take for granted that moments lie in memory as their parameter does.
        laid = torch.empty_like(like, dtype=value.dtype, device="cpu")
        return laid.copy_(value)


def _blocks(backbone: nn.Module) -> Iterator[nn.Module]:
    """The blocks or stages of a timm model, to be gathered one at a time."""
    for child in backbone.children():
        if isinstance(child, nn.Sequential | nn.ModuleList):
            yield from child
        elif any(True for part in child.children() for _ in part.parameters()):
            yield child


def _parameters(optimiser: torch.optim.Optimizer) -> list[nn.Parameter]:
    """In the order in which the optimiser's state numbers them."""
    return [p for group in optimiser.param_groups for p in group["params"]]


def _whole(value: Tensor) -> Tensor:
    return value.full_tensor() if isinstance(value, DTensor) else value


def _part(value: Tensor, like: Tensor) -> Tensor:
    """What this worker holds of a whole ``value``, laid out ``like`` its own."""
    if not isinstance(like, DTensor):
        return value
    whole = value.contiguous().to(like.device)
    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None).clone()
