"""Ray Data streams parcels in an exact order to the workers that train on them.

One row is one parcel and one block; blocks keep their order; the splitter deals them out in turn.
So row i reaches worker i mod W, whatever finished first.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any

import numpy as np
import ray.data
from ray.data import ActorPoolStrategy, DataContext, Dataset, ExecutionOptions
from ray.train import DataConfig

from raystudy.order import Parcel, parcels
from raystudy.spec import Pretraining
from raystudy.stages.batches import load
from raystudy.stages.index import Selection, select
from raystudy.store import Store

STEPS_PER_PARCEL = 16
LOADER_CPUS = 0.25
TURN_S = 0.05
NOTHING = -1


def stream(
    runs: Mapping[int, int], specs: Sequence[Pretraining], num_workers: int, store_url: str
) -> Dataset:
    """The decoded parcels that train ``runs`` (index in ``specs`` → first step) one after the
    other. Without a run, each worker gets one parcel of nothing: Ray streams no empty set."""
    plan = list(parcels(runs, specs, num_workers, STEPS_PER_PARCEL))
    plan = plan or [Parcel(NOTHING, 0, 0, worker) for worker in range(num_workers)]
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.custom_execution_callback_classes = [Pace]  # pyright: ignore[reportAttributeAccessIssue]
    # One block a parcel: blocks are what is dealt out. An actor loads them, because Ray ends idle
    # task workers after a second and would start a new process for nearly every parcel.
    rows = ray.data.from_items(
        [{"parcel": i} for i in range(len(plan))], override_num_blocks=len(plan)
    )
    return rows.map_batches(
        LoadParcel,
        fn_constructor_args=(plan, specs, num_workers, store_url),
        batch_size=1,
        num_cpus=LOADER_CPUS,
        compute=ActorPoolStrategy(size=1, max_tasks_in_flight_per_actor=4),
    )


class LoadParcel:
    """Row number → everything the parcel holds, decoded."""

    def __init__(
        self, plan: list[Parcel], specs: Sequence[Pretraining], num_workers: int, store_url: str
    ) -> None:
        self._plan, self._specs, self._num_workers = plan, specs, num_workers
        self._store = Store(store_url)
        self._selected: tuple[int, Selection] | None = None

    def __call__(self, rows: dict[str, Any]) -> dict[str, Any]:
        parcel = self._plan[int(rows["parcel"][0])]
        if parcel.run == NOTHING:
            return {"parcel": np.array([astuple(parcel)])}
        loaded = load(parcel, self._specs[parcel.run], self._select(parcel.run), self._num_workers)
        captions = np.empty(1, dtype=object)
        captions[0] = loaded["captions"]
        return {
            "parcel": np.array([astuple(parcel)]),
            "images": np.asarray(loaded["images"])[None],
            "labels": np.asarray(loaded["labels"])[None],
            "captions": captions,
        }

    def _select(self, run: int) -> Selection:
        if self._selected is None or self._selected[0] != run:
            self._selected = run, select(self._specs[run], self._store)
        return self._selected[1]


class Pace:
    """Lets the executor of Ray Data rest between two turns of its loop.

    While workers have all they can hold, no task is in flight and the loop of Ray 2.60 waits for
    nothing: it turns thousands of times a second and takes a core from the training it feeds.
    """

    def before_execution_starts(self, executor: Any) -> None:
        pass

    def on_execution_step(self, executor: Any) -> None:
        time.sleep(TURN_S)

    def after_execution_succeeds(self, executor: Any) -> None:
        pass

    def after_execution_fails(self, executor: Any, error: Exception) -> None:
        pass


def exact_order() -> DataConfig:
    """How Ray Train must split the stream."""
    return DataConfig(execution_options=ExecutionOptions(preserve_order=True))


def parcel_of(row: dict[str, Any]) -> Parcel:
    return Parcel(*(int(v) for v in row["parcel"][0]))
