"""Where work runs: how many workers a pre-training gets, and what a cluster can hold."""

from collections.abc import Sequence
from dataclasses import dataclass

from raystudy.cluster.stream import LOADER_CPUS
from raystudy.nodes import INGEST, Resources
from raystudy.spec import Pretraining
from raystudy.stages.fabric import MAX_BAD_RATE

SPARED_CPUS = 0.5
"""Of a worker's cores: what is left feeds the workers (see ``stream.LOADER_CPUS``)."""
Range = tuple[int, int]
INGEST_SHARE = 0.001
"""Of a node's offer to loaders: it says where they go, their cores how many fit."""


@dataclass(frozen=True)
class Placement:
    """Where work runs. Nothing in here is part of a result's identity."""

    num_workers: int | Range = 1
    """Ray Train workers that share one pre-training; or from how few to how many: as many as there
    is room for, more or fewer whenever that changes."""
    num_lanes: int | None = None
    """Pre-trainings side by side; by default as many as the cluster has cores or GPUs for."""
    threads_per_worker: int = 1
    use_gpu: bool = False
    checkpoint_interval_s: float = 15.0
    max_bad_rate: float = MAX_BAD_RATE
    num_loaders: int = 1
    """Processes that decode, for each lane."""
    on_ingest_nodes: bool = False
    """Loaders go where the resource ``ingest`` is offered, and leave cores beside GPUs alone."""
    sharded: bool = False
    """Workers hold a part of the weights each (FSDP2), for models too large for one device."""
    compiled: bool = False
    """The backbone goes through ``torch.compile``."""
    resize_interval_s: float = 60.0
    """How often a range of workers is held against the cluster."""
    gpus_per_trial: float = 0.25
    """Of the grid, where GPUs are used: so many trials share one."""

    @property
    def per_worker(self) -> dict[str, float]:
        """The resources of one worker."""
        gpus = {"GPU": 1.0} if self.use_gpu else {}
        return {"CPU": self.threads_per_worker - SPARED_CPUS} | gpus

    @property
    def per_loader(self) -> dict[str, float]:
        """The custom resources of one loader; its cores are the stream's to know."""
        return {INGEST: INGEST_SHARE} if self.on_ingest_nodes else {}

    def per_trial(self, cores: int, training: bool) -> dict[str, float]:
        """The resources of one trial of the grid on a cluster of so many cores. While others train
        it takes what these leave (see ``SPARED_CPUS``), so that no worker group waits for it."""
        gpus = {"GPU": self.gpus_per_trial} if self.use_gpu else {}
        return {"CPU": LOADER_CPUS if training else min(self.threads_per_worker, cores)} | gpus


def parse_workers(text: str) -> int | Range:
    """``"4"``, or ``"2-4"`` for a range. Raises ValueError."""
    first, dash, last = text.partition("-")
    try:
        low = int(first)
        high = int(last) if dash else low
    except ValueError:
        low = high = 0
    if not 1 <= low <= high:
        raise ValueError(f"--workers={text}: give a number, or a range like 2-4")
    return (low, high) if dash else low


def workers_of(spec: Pretraining, num_workers: int | Range) -> Range:
    """From how few to how many workers share ``spec``: what is asked for, fewer where a step has
    fewer chunks than that. A worker needs a chunk of each part of a step (``accumulation``).

    Raises ValueError if a number in the range cannot share the chunks evenly: ranks of unequal
    batch would weigh examples unequally.
    """
    low, high = (num_workers, num_workers) if isinstance(num_workers, int) else num_workers
    budget = spec.budget
    chunks = budget.batch_size // (budget.chunk_size * budget.accumulation)
    low, high = min(low, chunks), min(high, chunks)
    for number in range(low, high + 1):
        if chunks % number:
            raise ValueError(
                f"{chunks} chunks a step cannot be shared evenly by {number} workers; give "
                f"--workers a number that divides {chunks}, or choose a smaller Budget.chunk_size "
                f"(it is {budget.chunk_size})"
            )
    return low, high


def check_room(
    specs: Sequence[Pretraining], placement: Placement, nodes: Sequence[Resources]
) -> None:
    """Raise ValueError for what ``nodes`` (the resources of each) can never hold."""
    fewest = max((workers_of(s, placement.num_workers)[0] for s in specs), default=0)
    need = placement.per_worker
    room = sum(_fit(node, need) for node in nodes)
    has = ", ".join(f"{_amounts(node, need)}" for node in nodes) or "none"
    if room < fewest:
        raise ValueError(
            f"{fewest} workers need {_amounts(need, need)} each, the cluster has room for {room} "
            f"(nodes: {has}); lower --workers or --threads, or add nodes"
        )
    if placement.sharded and any(s.budget.accumulation > 1 for s in specs):
        raise ValueError(
            "Budget.accumulation runs the backbone by itself, which sharded weights do not allow; "
            "leave out --sharded, or accumulation"
        )
    loaders = placement.num_loaders * LOADER_CPUS
    cpus = sum(node.get("CPU", 0) for node in nodes)
    if specs and cpus < fewest * need["CPU"] + loaders:
        raise ValueError(
            f"{fewest} workers and {placement.num_loaders} loaders need "
            f"{fewest * need['CPU'] + loaders:g} CPU, the cluster has {cpus:g} (nodes: {has}); "
            "lower --workers, --threads or --loaders, or add nodes"
        )


def slots(placement: Placement, nodes: Sequence[Resources]) -> int:
    """Workers that keep the whole cluster busy."""
    if placement.use_gpu:
        return int(sum(node.get("GPU", 0) for node in nodes))
    return int(sum(node.get("CPU", 0) for node in nodes) / placement.threads_per_worker)


def _fit(node: Resources, need: Resources) -> int:
    return int(min(node.get(name, 0) // amount for name, amount in need.items()))


def _amounts(of: Resources, names: Resources) -> str:
    return " + ".join(f"{of.get(name, 0):g} {name}" for name in names)
