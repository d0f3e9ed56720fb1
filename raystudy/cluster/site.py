"""A Ray cluster as a site: the one on this machine, or the one at an address."""

import logging
import os
import shutil
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Self

import ray
from ray import cloudpickle
from ray.exceptions import RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raystudy.cluster.board import Board
from raystudy.cluster.lane import Lane, lanes
from raystudy.cluster.placement import Placement, check_room, slots
from raystudy.cluster.preflight import examine
from raystudy.cluster.reach import reachable
from raystudy.cluster.train import reason_of, train_lane
from raystudy.cluster.tune import adapt_units, is_ready
from raystudy.kinds import Rendered
from raystudy.ledger import Ledger
from raystudy.nodes import INGEST
from raystudy.preflight import Questions, refuse
from raystudy.spec import STUDY_FILE, Pretraining, Trunk
from raystudy.stages.adapt import Unit
from raystudy.stages.event import Event
from raystudy.stages.index import check_faults, index
from raystudy.stages.select import select
from raystudy.stages.site import Site
from raystudy.store import Store

POLL_S = 0.25
ENVIRONMENT = {
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    # A laptop starts more processes than it has cores; Ray warns of that at every few.
    "RAY_worker_maximum_startup_concurrency": "8",
}
"""Quiet and quick, unless the user has set them otherwise."""
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(256 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}
"""glibc gives large tensors back to the kernel and faults them in again at every step; told to keep
them, a step of the quickstart takes 37 ms in place of 52 (in bytes; other libcs ignore it)."""


class RaySite(Site):
    """Context manager: connects on entry, disconnects on exit (and stops what it started)."""

    def __init__(
        self,
        store: Store,
        placement: Placement,
        address: str | None = None,
        questions: Questions | None = None,
    ) -> None:
        """``questions`` are put to every node before any work."""
        self.store, self.questions = store, questions
        self.placement = placement
        # Ray would join whatever cluster somebody else has started on this machine.
        self.address = address or os.environ.get("RAY_ADDRESS") or "local"

    def __enter__(self) -> Self:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        ray.init(
            address=self.address,
            # A cluster of our own lives as long as the study: nobody opens its pages, and they take
            # half a gigabyte.
            include_dashboard=False if self.address == "local" else None,
            namespace=f"raystudy-{uuid.uuid4().hex[:8]}",
            logging_level=logging.ERROR,
            log_to_driver=bool(os.environ.get("RAYSTUDY_DEBUG")),
            runtime_env={
                "env_vars": MALLOC | {"OMP_NUM_THREADS": str(self.placement.threads_per_worker)}
            },
        )
        for name, module in list(sys.modules.items()):
            if name.startswith(STUDY_FILE):  # a user's own variants travel with the specs
                cloudpickle.register_pickle_by_value(module)
        if any(INGEST in node for node in reachable()):
            self.placement = replace(self.placement, on_ingest_nodes=True)
        self._scratch = tempfile.mkdtemp(prefix="raystudy-ray-")
        # Beside the driver: what is pinned must not be lost with a node of workers.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._board: Any = Board.options(scheduling_strategy=here).remote()  # pyright: ignore[reportFunctionMemberAccess, reportAttributeAccessIssue]
        return self

    def __exit__(self, *_: object) -> None:
        ray.shutdown()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def index(self, sources: Sequence[Rendered]) -> Iterator[Event]:
        write = ray.remote(num_cpus=1, max_retries=2)(index)
        waiting = {write.remote(s, self.store): s.key for s in sources}
        while waiting:
            done, _ = ray.wait(list(waiting), timeout=POLL_S)
            for ref in done:
                key = waiting.pop(ref)
                try:
                    ray.get(ref)
                    yield Event("done", key)
                except RayTaskError as error:
                    yield Event("failed", key, error=reason_of(error.cause))
            yield Event("waiting")

    def compute(self, specs: Sequence[Pretraining], units: Sequence[Unit]) -> Iterator[Event]:
        # What cannot be selected would end the stream of a whole lane: find it first.
        specs, refused = _selectable(specs, self.store, self.placement.max_bad_rate)
        yield from refused
        lost = {event.key for event in refused}
        units = [u for u in units if u.backbone.key not in lost]
        todo = lanes(specs, self.placement, slots(self.placement, reachable()), self.store.url)
        training = [
            (f"worker group {lane.name}", lambda lane=lane: self._train(lane)) for lane in todo
        ]
        grid = [("the grid", lambda: self._adapt(units))] if units else []
        keys = {s.key for lane in todo for s in lane.missing(self.store)}
        yield from self._watch(training, grid, keys, {u.key: u for u in units})

    def _adapt(self, units: Sequence[Unit]) -> None:
        """The grid, in as many goes as it takes: between two, whatever its actors held is free for
        worker groups that start."""
        for go in count():
            training: bool = ray.get(self._board.training.remote())
            ended: set[str] = ray.get(self._board.ended.remote())
            units = [u for u in units if u.key not in ended]
            there = self.store.done_keys(Pretraining.room)
            if any(is_ready(u, there) for u in units):
                cores = int(sum(node.get("CPU", 0) for node in reachable()))
                adapt_units(
                    units,
                    self.store.url,
                    self._board,
                    self._scratch,
                    name=f"adapt-{go}",
                    training=training,
                    concurrency=max(1, cores // 2 if training else cores),
                    threads=self.placement.threads_per_worker,
                    resources=self.placement.per_trial(cores, training),
                )
            elif not training or not units:
                return
            else:
                time.sleep(1)

    def check(self, specs: Sequence[Pretraining]) -> None:
        """Refuse at once what can never be placed. Raises ValueError; PreflightError for a cluster
        that cannot do its part."""
        if self.questions:
            refuse(examine(self.questions, self.placement, specs))
        else:
            check_room(specs, self.placement, reachable())

    def _train(self, lane: Lane) -> None:
        train_lane(lane, self._board, self._scratch)

    def _watch(
        self,
        training: Sequence[tuple[str, Callable[[], None]]],
        grid: Sequence[tuple[str, Callable[[], None]]],
        keys: set[str],
        units: Mapping[str, Unit],
    ) -> Iterator[Event]:
        """Run the jobs in threads and pass on what workers pin, until every one has ended. Of what
        nobody pinned, the store tells whether it is finished all the same."""
        errors: list[tuple[str, BaseException]] = []

        def guarded(name: str, job: Callable[[], None]) -> None:
            try:
                job()
            except BaseException as error:
                errors.append((name, error))

        training_threads = [_started(guarded, *job) for job in training]
        threads = training_threads + [_started(guarded, *job) for job in grid]
        alive, trained = True, False
        pinned: set[str] = set()
        while alive:
            for thread in threads:
                thread.join(POLL_S / len(threads))
            alive = any(t.is_alive() for t in threads)
            if not trained and not any(t.is_alive() for t in training_threads):
                trained = True
                ray.get(self._board.end_training.remote())
            for event in ray.get(self._board.take.remote()):
                if event.kind in ("done", "failed"):
                    pinned.add(event.key)
                yield event
            yield Event("waiting")
        reason = "; ".join(f"{name}: {reason_of(e)}" for name, e in errors)
        there = self.store.done_keys(Pretraining.room) | self.store.done_keys(Trunk.room)
        for key in keys - pinned:
            if key in there:
                yield Event("done", key)
            else:
                yield Event("failed", key, error=reason or "its worker group ended without it")
        for key in units.keys() - pinned:
            unit = units[key]
            if isinstance(unit.backbone, Pretraining) and unit.backbone.key not in there:
                continue  # that its backbone failed has been said
            if Ledger(self.store).finished(unit.keys) == unit.keys:
                yield Event("done", key)
            else:
                yield Event("failed", key, error=reason or "the grid ended without it")


def _started(target: Callable[..., None], *args: Any) -> threading.Thread:
    thread = threading.Thread(target=target, args=args, daemon=True)
    thread.start()
    return thread


def _selectable(
    specs: Sequence[Pretraining], store: Store, max_bad_rate: float
) -> tuple[list[Pretraining], list[Event]]:
    good, refused = [], []
    for spec in specs:
        try:
            check_faults(spec.source, store, max_bad_rate)
            select(spec, store)
            good.append(spec)
        except ValueError as error:
            refused.append(Event("failed", spec.key, error=str(error)))
    return good, refused
