"""What Ray delivers is what the order says, for any number of workers. Real raylets, real tars."""

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raystudy.kinds import Rendered
from raystudy.order import Parcels, worker_chunks
from raystudy.shards.read import Reader
from raystudy.spec import Augmentation, Budget, Pretraining, Study
from raystudy.stages.batches import load
from raystudy.stages.index import index
from raystudy.stages.select import select
from raystudy.store import Store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    import ray

    os.environ["RAY_DATA_DISABLE_PROGRESS_BARS"] = "1"
    ray.init(num_cpus=4, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.parametrize(("num_workers", "num_loaders"), [(1, 2), (2, 1), (3, 2), (4, 3)])
def test_the_stream_is_the_order(
    ray_here: None,
    study: Study,
    store: Store,
    num_workers: int,
    num_loaders: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import ray

    from raystudy.cluster import stream as streams
    from raystudy.cluster.stream import execution_options, parcel_of, stream

    monkeypatch.setattr(streams, "MAX_PARCEL_EXAMPLES", 48 // num_workers)
    changes = {
        "budget": Budget(epochs=3, batch_size=24, chunk_size=2, run_length=3),
        "augmentation": Augmentation(random_crop=(0.2, 1.0)),
    }
    specs = [
        b.model_copy(update=changes)
        for b in study.grids[0].backbones()
        if isinstance(b, Pretraining)
    ][:2]
    source = specs[0].source
    assert isinstance(source, Rendered)
    index(source, store)
    runs = {0: 0, 1: 5}
    data = stream(runs, specs, num_workers, store.url, num_loaders)
    data.context.execution_options = execution_options()  # as exact_order() asks of Ray Train

    @ray.remote(num_cpus=0)
    def read(shard: Any, worker: int) -> list[tuple[Any, np.ndarray, np.ndarray]]:
        rng = np.random.default_rng(worker)
        found = []
        for row in shard.iter_batches(batch_size=None):
            time.sleep(rng.uniform(0, 0.05))  # workers of uneven speed
            found.append((parcel_of(row), np.array(row["inputs"][0]), np.array(row["labels"][0])))
        return found

    shards = data.streaming_split(num_workers, equal=True)
    received = ray.get([read.remote(shard, i) for i, shard in enumerate(shards)])
    steps = [streams.steps_per_parcel(spec, num_workers) for spec in specs]
    assert steps == [2, 2]
    expected = list(Parcels(runs, specs, num_workers, steps))
    for worker, rows in enumerate(received):
        mine = [p for p in expected if p.worker == worker]
        assert [parcel for parcel, _, _ in rows] == mine
        for parcel, images, labels in rows:
            spec = specs[parcel.run]
            here = load(parcel, spec, select(spec, store), num_workers, Reader())
            assert np.array_equal(images, here.inputs)
            assert np.array_equal(labels, here.labels)
            chunks = len(worker_chunks(spec.budget, num_workers, worker))
            assert images.shape[:3] == (parcel.num_steps, 1, chunks * spec.budget.chunk_size)


def test_a_plan_of_a_million_parcels_takes_no_more_room_than_one_of_ten(
    ray_here: None, study: Study, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil
    import ray

    from raystudy.cluster import stream as streams
    from raystudy.cluster.stream import execution_options, parcel_of, steps_per_parcel, stream

    monkeypatch.setattr(streams, "MAX_PARCEL_EXAMPLES", 16 * 8)
    (spec, *_) = (b for b in study.grids[0].backbones() if isinstance(b, Pretraining))
    budget = Budget(samples=16 * 16 * 500_000, batch_size=16, chunk_size=8)
    spec = spec.model_copy(update={"budget": budget})
    assert isinstance(spec.source, Rendered)
    index(spec.source, store)
    plan = Parcels({0: 0}, [spec], 2, [steps_per_parcel(spec, 2)])
    assert len(plan) == 1_000_000

    here = psutil.Process()
    before = here.memory_info().rss
    data = stream({0: 0}, [spec], 2, store.url)
    data.context.execution_options = execution_options()

    @ray.remote(num_cpus=0)
    def first(shard: Any, count: int) -> list[Any]:
        rows = iter(shard.iter_batches(batch_size=None))
        return [parcel_of(next(rows)) for _ in range(count)]

    shards = data.streaming_split(2, equal=True)
    received = ray.get([first.remote(shard, 20) for shard in shards])
    assert received == [plan[0:40:2], plan[1:40:2]]
    assert here.memory_info().rss - before < 100 << 20


def test_more_workers_than_the_cluster_has_are_refused_at_once(
    ray_here: None, study: Study, tmp_path: Path
) -> None:
    from raystudy.cluster.site import Placement, RaySite

    specs = [b for b in study.grids[0].backbones() if isinstance(b, Pretraining)]
    site = RaySite(Store(tmp_path), Placement(num_workers=2, use_gpu=True))
    with pytest.raises(ValueError, match=r"2 workers need 0\.5 CPU \+ 1 GPU each.* room for 0"):
        site.check(specs)
    finer = [s.model_copy(update={"budget": Budget(batch_size=16, chunk_size=4)}) for s in specs]
    with pytest.raises(ValueError, match="4 chunks a step cannot be shared evenly by 3 workers"):
        RaySite(Store(tmp_path), Placement(num_workers=3)).check(finer)
