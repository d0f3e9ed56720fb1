"""Ray Train: one worker group pre-trains a list of specs, one after the other, and stays warm.

Starting a group costs ten seconds and more, a short pre-training a few. So a *lane* is one
``TorchTrainer`` fed by one stream that holds the parcels of all its runs; lanes work side by side.
The store is the truth of what is done: a group that is restarted asks it where to go on.
"""

import logging
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import ray
import ray.train
import torch
import torch.distributed as dist
from ray.data import DataIterator
from ray.train import DataConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from raystudy.cluster.fabric import RayFabric
from raystudy.cluster.lane import Lane
from raystudy.cluster.stream import NOTHING, execution_options, loaded_of, parcel_of, stream
from raystudy.order import Parcel
from raystudy.spec import Pretraining
from raystudy.stages.batches import Batch, unpack
from raystudy.stages.beginning import first_step
from raystudy.stages.event import Event
from raystudy.stages.pretrain import HopelessError, pretrain
from raystudy.stages.select import select
from raystudy.store import Store

log = logging.getLogger(__name__)

DATA = "train"


def train_lane(lane: Lane, board: Any, scratch: str) -> None:
    """Pre-train every spec of ``lane`` that is not done, in as many groups as it takes.

    A group that dies is started again. A run in which groups die over and over, with no checkpoint
    between one death and the next, has failed, and so has what begins with it; the others go on.
    """
    store = Store(lane.store_url)
    stuck_at, deaths = None, 0
    for attempt in count():
        failed: set[str] = ray.get(board.failed.remote())
        lost = lane.lost_with(failed)
        for spec in lost:
            _fail(spec, "the trunk with which it begins has failed", board)
        lane = lane.without(failed | {s.key for s in lost})
        missing = lane.missing(store)
        if not missing:
            return
        try:
            _train(lane, board, scratch, f"{lane.name}-{attempt}")
            continue
        except Exception as error:  # whatever ends a group; the study goes on
            reason = reason_of(error)
        running = next(iter(lane.missing(store)), None)
        if running is None:
            return
        place = (running.key, first_step(store, running, lane.trunks))
        deaths = deaths + 1 if place == stuck_at else 1
        stuck_at = place
        log.warning("%s: its worker group died at step %d: %s", running.key, place[1], reason)
        if deaths > lane.max_failures:
            _fail(running, f"its worker group died {deaths} times in a row: {reason}", board)


def reason_of(error: Any) -> str:
    """One line: what a worker died of, where Ray tells, and not that something died."""
    workers = getattr(error, "worker_failures", None)
    cause = next(iter(workers.values())) if workers else error
    lines = [line for line in str(cause).splitlines() if line.strip()] or [""]
    return f"{type(error).__name__}: {lines[-1] if workers else lines[0]}"


def _fail(spec: Pretraining, reason: str, board: Any) -> None:
    ray.get(board.pin.remote(Event("failed", spec.key, error=reason)))


def _train(lane: Lane, board: Any, scratch: str, name: str) -> None:
    """One worker group, which Ray itself starts anew when a node is taken away with notice, or when
    it can have more or fewer workers. Raises what Ray raises when it dies."""
    low, high = lane.num_workers
    TorchTrainer(
        _work,
        train_loop_config={"lane": lane, "board": board},
        scaling_config=ScalingConfig(
            num_workers=high if low == high else (low, high),
            use_gpu=lane.placement.use_gpu,
            resources_per_worker=lane.placement.per_worker,
            elastic_resize_monitor_interval_s=lane.placement.resize_interval_s,
        ),
        run_config=RunConfig(
            name=name,
            storage_path=scratch,
            failure_config=FailureConfig(max_failures=0),
        ),
        datasets={DATA: lambda: None},  # pyright: ignore[reportArgumentType]
        dataset_config=Streams(lane),
    ).fit()


class Streams(DataConfig):
    """Builds the stream of a lane for the workers that a group really has, from where the store
    says that each run stands: whenever a group starts, of whatever size."""

    def __init__(self, lane: Lane) -> None:
        super().__init__(execution_options=execution_options())
        self._lane = lane

    def configure(
        self, datasets: Any, world_size: int, worker_handles: Any, worker_node_ids: Any, **_: Any
    ) -> list[dict[str, DataIterator]]:
        lane, store = self._lane, Store(self._lane.store_url)
        missing = {s.key for s in lane.missing(store)}
        runs = {
            i: first_step(store, spec, lane.trunks)
            for i, spec in enumerate(lane.specs)
            if spec.key in missing
        }
        data = stream(
            runs,
            lane.specs,
            world_size,
            lane.store_url,
            lane.placement.num_loaders,
            lane.placement.per_loader,
        )
        data.context.execution_options = execution_options()
        return [{DATA: part} for part in data.streaming_split(world_size, equal=True)]


def _work(config: dict[str, Any]) -> None:
    lane, board = config["lane"], config["board"]
    torch.set_num_threads(lane.placement.threads_per_worker)
    store = Store(lane.store_url)
    shard: Any = ray.train.get_dataset_shard(DATA)
    rows = _Rows(iter(shard.iter_batches(batch_size=None, prefetch_batches=2)))
    while (run := rows.next_run()) is not None:
        spec = lane.specs[run]
        fabric = RayFabric(store, spec.key, lane.placement, board)
        event = Event("done", spec.key)
        try:
            selection = select(spec, store)
            batches = rows.batches(run, spec, fabric.num_workers, fabric.rank)
            pretrain(spec, selection, batches, fabric, lane.trunks)
        except HopelessError as error:  # every rank sees the same means
            event = Event("failed", spec.key, error=str(error))
        if fabric.rank == 0:
            ray.get(board.pin.remote(event))
        if event.kind == "failed":
            return  # the rest of its stream may be long: a fresh group begins after it
        dist.barrier()  # what rank 0 has published, the next run may begin with


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
