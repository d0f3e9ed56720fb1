"""Ray Train: one worker group pre-trains a list of specs, one after the other, and stays warm.

Starting a group costs ten seconds and more, a short pre-training a few. So a *lane* is one
``TorchTrainer`` fed by one stream that holds the parcels of all its runs; lanes work side by side.
The store is the truth of what is done: a group that is restarted asks it where to go on.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import ray
import ray.train
import torch
import torch.distributed as dist
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, get_device
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from raystudy.cluster.stream import NOTHING, exact_order, loaded_of, parcel_of, stream
from raystudy.order import Parcel
from raystudy.spec import Pretraining
from raystudy.stages.batches import Batch, unpack
from raystudy.stages.event import Event
from raystudy.stages.fabric import Fabric, checkpoint_step
from raystudy.stages.pretrain import BadDataError, DivergedError, pretrain
from raystudy.stages.select import select
from raystudy.store import Store


@dataclass(frozen=True)
class Lane:
    """What one worker group is told."""

    name: str
    specs: tuple[Pretraining, ...]
    store_url: str
    num_workers: int
    threads_per_worker: int
    use_gpu: bool
    cpus_per_worker: float
    checkpoint_interval_s: float
    max_bad_rate: float
    num_loaders: int = 1
    max_failures: int = 2


def train_lane(lane: Lane, board: Any, scratch: str) -> None:
    """Pre-train every spec of ``lane`` that is not done. Raises what Ray raises when the group
    fails more than ``max_failures`` times."""

    def dataset():
        store = Store(lane.store_url)
        runs = {
            i: checkpoint_step(store, spec.key)
            for i, spec in enumerate(lane.specs)
            if not store.done("pretrainings", spec.key)
        }
        return stream(runs, lane.specs, lane.num_workers, lane.store_url, lane.num_loaders)

    TorchTrainer(
        _work,
        train_loop_config={"lane": lane, "board": board},
        scaling_config=ScalingConfig(
            num_workers=lane.num_workers,
            use_gpu=lane.use_gpu,
            resources_per_worker={"CPU": lane.cpus_per_worker},
        ),
        run_config=RunConfig(
            name=lane.name,
            storage_path=scratch,
            failure_config=FailureConfig(max_failures=lane.max_failures),
        ),
        datasets={"train": dataset},
        dataset_config=exact_order(),
    ).fit()


class RayFabric(Fabric):
    """A worker of a Ray Train group."""

    def __init__(self, store: Store, key: str, lane: Lane, board: Any) -> None:
        super().__init__(store, key, lane.checkpoint_interval_s, lane.max_bad_rate)
        self._board = board
        self._context = ray.train.get_context()

    @property
    def rank(self) -> int:
        return self._context.get_world_rank()

    @property
    def num_workers(self) -> int:
        return self._context.get_world_size()

    @property
    def device(self) -> torch.device:
        return get_device()

    def wrap(self, objective: nn.Module) -> nn.Module:
        objective.to(self.device)
        return DistributedDataParallel(objective) if self.num_workers > 1 else objective

    def mean(self, metrics: Mapping[str, Tensor]) -> dict[str, float]:
        values = torch.stack([v.float().cpu() for v in metrics.values()]).to(self.device)
        if self.num_workers > 1:
            dist.all_reduce(values)
        return dict(zip(metrics, (values / self.num_workers).tolist(), strict=True))

    def report(self, step: int, metrics: Mapping[str, float]) -> None:
        if self.rank == 0:
            self._board.pin.remote(Event("progress", self.key, step, metrics))


def _work(config: dict[str, Any]) -> None:
    lane: Lane = config["lane"]
    torch.set_num_threads(lane.threads_per_worker)
    store = Store(lane.store_url)
    shard: Any = ray.train.get_dataset_shard("train")
    rows = _Rows(iter(shard.iter_batches(batch_size=None, prefetch_batches=2)))
    while (run := rows.next_run()) is not None:
        spec = lane.specs[run]
        fabric = RayFabric(store, spec.key, lane, config["board"])
        event = Event("done", spec.key)
        try:
            selection = select(spec, store)
            batches = rows.batches(run, spec, fabric.num_workers, fabric.rank)
            pretrain(spec, selection, batches, fabric)
        except (DivergedError, BadDataError) as error:  # every rank sees the same means
            event = Event("failed", spec.key, error=str(error))
        rows.drain(run)
        if fabric.rank == 0:
            ray.get(config["board"].pin.remote(event))


class _Rows:
    """The worker's shard, cut where one run ends and the next begins."""

    def __init__(self, rows: Iterator[dict[str, Any]]) -> None:
        self._rows = rows
        self._held: dict[str, Any] | None = None
        self._waited_s = 0.0

    def next_run(self) -> int | None:
        row = self._peek()
        run = NOTHING if row is None else parcel_of(row).run
        return None if run == NOTHING else run

    def batches(
        self, run: int, spec: Pretraining, num_workers: int, rank: int
    ) -> Callable[[int], Iterator[Batch]]:
        def read(first_step: int) -> Iterator[Batch]:
            expected = first_step
            while (taken := self._take(run)) is not None:
                parcel, row = taken
                if (parcel.first_step, parcel.worker) != (expected, rank):
                    raise RuntimeError(
                        f"{spec.key}: worker {rank} at step {expected} was sent what worker "
                        f"{parcel.worker} needs at step {parcel.first_step}"
                    )
                expected += parcel.num_steps
                waited_s, self._waited_s = self._waited_s, 0.0
                yield from unpack(parcel, loaded_of(row), spec, num_workers, waited_s)

        return read

    def drain(self, run: int) -> None:
        """Skip what is left of a run that ended early."""
        while self._take(run) is not None:
            pass

    def _take(self, run: int) -> tuple[Parcel, dict[str, Any]] | None:
        row = self._peek()
        if row is None or parcel_of(row).run != run:
            return None
        self._held = None
        return parcel_of(row), row

    def _peek(self) -> dict[str, Any] | None:
        if self._held is None:
            started = time.perf_counter()
            self._held = next(self._rows, None)
            self._waited_s += time.perf_counter() - started
        return self._held
