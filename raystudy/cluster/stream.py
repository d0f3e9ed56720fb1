"""Ray Data streams parcels in an exact order to the workers that train on them.

One row is one parcel and one block; blocks keep their order; the splitter deals them out in turn.
So row i reaches worker i mod W, whatever finished first.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import ray.data
from ray.data import DataContext, Dataset, ExecutionOptions
from ray.train import DataConfig

from raystudy.order import Parcel, parcels
from raystudy.spec import Pretraining
from raystudy.stages.batches import load
from raystudy.stages.index import Selection, select
from raystudy.store import Store

STEPS_PER_PARCEL = 16
LOADER_CPUS = 0.25
LOADERS_PER_STREAM = 1


def stream(runs: list[tuple[Pretraining, int]], num_workers: int, store_url: str) -> Dataset:
    """The decoded parcels that train ``runs`` (spec, first step) one after the other."""
    plan = list(parcels(runs, num_workers, STEPS_PER_PARCEL))
    specs = [spec for spec, _ in runs]

    def load_parcel(row: dict[str, Any]) -> dict[str, Any]:
        parcel = plan[int(row["id"][0])]
        spec = specs[parcel.run]
        loaded = load(parcel, spec, _selection(spec, store_url), num_workers)
        captions = np.empty(1, dtype=object)
        captions[0] = loaded["captions"]
        return {
            "parcel": np.array(
                [[parcel.run, parcel.first_step, parcel.num_steps, parcel.worker]]
            ),
            "images": np.asarray(loaded["images"])[None],
            "labels": np.asarray(loaded["labels"])[None],
            "captions": captions,
        }

    context = DataContext.get_current()
    context.target_max_block_size = 1  # every row its own block: blocks are what is dealt out
    context.enable_progress_bars = False
    return ray.data.range(len(plan), override_num_blocks=len(plan)).map_batches(
        load_parcel, batch_size=1, num_cpus=LOADER_CPUS, concurrency=LOADERS_PER_STREAM
    )


def exact_order() -> DataConfig:
    """How Ray Train must split the stream."""
    return DataConfig(execution_options=ExecutionOptions(preserve_order=True))


def parcel_of(row: dict[str, Any]) -> Parcel:
    run, first_step, num_steps, worker = (int(v) for v in row["parcel"][0])
    return Parcel(run, first_step, num_steps, worker)


@lru_cache(maxsize=4)
def _selection(spec: Pretraining, store_url: str) -> Selection:
    return select(spec, Store(store_url))
