"""Ray Data streams parcels in an exact order to the workers that train on them.

One row is one parcel and one block; blocks keep their order; the splitter deals them out in turn.
So row i reaches worker i mod W, whatever finished first.
"""

import json
import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any

import numpy as np
from ray.data import ActorPoolStrategy, DataContext, Dataset, ExecutionOptions, ExecutionResources
from ray.train import DataConfig

from raystudy.cluster.feed import numbers
from raystudy.order import Parcel, Parcels
from raystudy.shards.read import Reader
from raystudy.spec import Pretraining
from raystudy.stages.batches import Loaded, load, note_faults
from raystudy.stages.select import Selection, select
from raystudy.store import Store

MAX_PARCEL_BYTES = 64 << 20
MAX_PARCEL_EXAMPLES = 2048
"""A worker waits for a whole parcel before its first step."""
IN_FLIGHT = 4
"""Parcels a loader has in hand, so that it never waits for the executor's next turn."""
MAX_WAITING_BYTES = 512 << 20
"""Of what is loaded and not yet trained on, for each stream: what keeps memory flat."""
LOADER_CPUS = 0.25
THREADS = 2
"""Of a loader: one decodes while the other hands its parcel to Ray."""
TURNS_S = (0.02, 0.25)
"""Between two turns of the executor: at least, and at most when nothing moves."""
NOTHING = -1


def stream(
    runs: Mapping[int, int],
    specs: Sequence[Pretraining],
    num_workers: int,
    store_url: str,
    num_loaders: int = 1,
    per_loader: Mapping[str, float] | None = None,
) -> Dataset:
    """The decoded parcels that train ``runs`` (index in ``specs`` → first step) one after the
    other. Without a run, each worker gets one parcel of nothing: Ray streams no empty set.
    ``per_loader`` are custom resources that say where loaders go."""
    steps = [steps_per_parcel(spec, num_workers) for spec in specs]
    plan = Parcels(runs, specs, num_workers, steps)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.custom_execution_callback_classes = [Pace]  # pyright: ignore[reportAttributeAccessIssue]
    # An actor loads them, because Ray ends idle task workers after a second and would start a new
    # process for nearly every parcel.
    return numbers(len(plan) or num_workers, "parcel", context).map_batches(
        LoadParcel,
        fn_constructor_args=(plan, specs, num_workers, store_url),
        batch_size=1,
        num_cpus=LOADER_CPUS,
        resources=dict(per_loader or {}),
        max_concurrency=THREADS,
        compute=ActorPoolStrategy(size=num_loaders, max_tasks_in_flight_per_actor=IN_FLIGHT),
    )


class LoadParcel:
    """Row number → everything the parcel holds, decoded."""

    def __init__(
        self,
        plan: Sequence[Parcel],
        specs: Sequence[Pretraining],
        num_workers: int,
        store_url: str,
    ) -> None:
        self._plan, self._specs, self._num_workers = plan, specs, num_workers
        self._store = Store(store_url)
        self._own = threading.local()
        self._selected: tuple[int, Selection] | None = None

    def __call__(self, rows: dict[str, Any]) -> dict[str, Any]:
        number = int(rows["parcel"][0])
        if not self._plan:
            return {"parcel": np.array([astuple(Parcel(NOTHING, 0, 0, number))])}
        parcel = self._plan[number]
        spec = self._specs[parcel.run]
        loaded = load(parcel, spec, self._select(parcel.run), self._num_workers, self._reader)
        note_faults(self._store, spec, parcel, loaded)
        return {"parcel": np.array([astuple(parcel)])} | row_of(loaded)

    @property
    def _reader(self) -> Reader:
        if not hasattr(self._own, "reader"):
            self._own.reader = Reader()
        return self._own.reader

    def _select(self, run: int) -> Selection:
        held = self._selected
        if held is None or held[0] != run:
            self._selected = held = run, select(self._specs[run], self._store)
        return held[1]


class Pace:
    """Lets the executor of Ray Data rest between two turns of its loop, longer while nothing moves.

    While workers have all they can hold, no task is in flight and the loop of Ray 2.60 waits for
    nothing: it turns thousands of times a second and takes a core from the training it feeds.
    """

    def __init__(self) -> None:
        self._moved, self._rest_s = -1, TURNS_S[0]

    def before_execution_starts(self, executor: Any) -> None:
        pass

    def on_execution_step(self, executor: Any) -> None:
        moved = sum(
            op.metrics.num_inputs_received + op.metrics.num_outputs_taken
            for op in executor._topology
        )
        self._rest_s = min(2 * self._rest_s, TURNS_S[1]) if moved == self._moved else TURNS_S[0]
        self._moved = moved
        time.sleep(self._rest_s)

    def after_execution_succeeds(self, executor: Any) -> None:
        pass

    def after_execution_fails(self, executor: Any, error: Exception) -> None:
        pass


def exact_order() -> DataConfig:
    """How Ray Train must split a stream that was made for its number of workers."""
    return DataConfig(execution_options=execution_options())


def execution_options() -> ExecutionOptions:
    return ExecutionOptions(
        preserve_order=True,
        resource_limits=ExecutionResources(object_store_memory=MAX_WAITING_BYTES),
    )


def steps_per_parcel(spec: Pretraining, num_workers: int) -> int:
    """Few large blocks cost Ray least; how large, memory says."""
    network = spec.architecture
    example_bytes = math.prod(network.example_shape) * network.example_dtype.itemsize
    views = spec.method.num_views if spec.augmentation.random_crop else 1
    step_examples = spec.budget.batch_size // num_workers * views
    most = min(MAX_PARCEL_EXAMPLES, MAX_PARCEL_BYTES // example_bytes)
    return max(1, most // step_examples)


def row_of(loaded: Loaded) -> dict[str, Any]:
    """A parcel's content as one row."""
    captions = np.empty(1, dtype=object)
    captions[0] = loaded.captions
    return {
        "inputs": loaded.inputs[None],
        "labels": loaded.labels[None],
        "captions": captions,
        "faults": np.array([json.dumps(loaded.faults)]),
    }


def loaded_of(row: dict[str, Any]) -> Loaded:
    """The content of a row, without a copy of its inputs."""
    return Loaded(
        inputs=row["inputs"][0],
        labels=row["labels"][0],
        captions=list(row["captions"][0]),
        faults=json.loads(str(row["faults"][0])),
    )


def parcel_of(row: dict[str, Any]) -> Parcel:
    return Parcel(*(int(v) for v in row["parcel"][0]))
