"""Groups that shrink and grow: what a global step sees stays what it was. And lanes with a run that
cannot be trained: the others are."""

import hashlib
import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raystudy.kinds import Rendered
from raystudy.order import Parcel, step_rows
from raystudy.shards.read import Reader
from raystudy.spec import Budget, Pretraining, Study
from raystudy.stages import checkpoints
from raystudy.stages.batches import load
from raystudy.stages.event import Event
from raystudy.stages.index import index
from raystudy.stages.select import select
from raystudy.store import Store

from .raylets import Raylets, raylets

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(1500)]

PATIENCE_S = 300


@pytest.fixture(autouse=True)
def workers_know_this_file() -> Iterator[None]:
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Raylets]:
    with raylets(monkeypatch, num_nodes=3, cpus_per_node=2) as cluster:
        yield cluster


def pretraining(study: Study, store: Store, **changes: Any) -> Pretraining:
    spec = next(b for b in study.grids[0].backbones() if isinstance(b, Pretraining))
    assert isinstance(spec.source, Rendered)
    if not store.done("sources", spec.source.key):
        index(spec.source, store)
    return spec.model_copy(update=changes)


def watched_work(config: dict[str, Any]) -> None:
    """What a worker does, but it writes down what it is fed, and dawdles until told to hurry."""
    import os

    from raystudy.cluster import train

    folder = Path(Store(config["lane"].store_url).root)
    (folder / "seen").mkdir(exist_ok=True)
    unpack = train.unpack

    def watched(parcel: Any, loaded: Any, spec: Any, num_workers: int, waited_s: float) -> Any:
        for batch in unpack(parcel, loaded, spec, num_workers, waited_s):
            images = [digest(image) for image in batch.inputs[0]]
            seen = [num_workers, batch.step, list(batch.chunks), images]
            with open(folder / "seen" / f"{os.getpid()}.jsonl", "a") as file:
                file.write(json.dumps(seen) + "\n")
            if not (folder / "hurry").exists():
                time.sleep(0.5)
            yield batch

    train.unpack = watched
    train._work(config)


def digest(image: np.ndarray) -> str:
    return hashlib.blake2b(image.tobytes(), digest_size=8).hexdigest()


def test_a_group_that_shrinks_and_grows_sees_what_an_undisturbed_one_sees(
    study: Study, store: Store, cluster: Raylets, monkeypatch: pytest.MonkeyPatch
) -> None:
    from raystudy.cluster import train
    from raystudy.cluster.site import Placement, RaySite

    budget = Budget(samples=24 * 240, batch_size=24, chunk_size=4)
    spec = pretraining(study, store, budget=budget)
    monkeypatch.setattr(train, "_work", watched_work)
    # Two threads each: a node has room for one worker, and the head for none.
    placement = Placement(
        num_workers=(2, 3),
        threads_per_worker=2,
        checkpoint_interval_s=0.5,
        resize_interval_s=2.0,
    )
    events: list[Event] = []
    with RaySite(store, placement, cluster.address) as site:
        site.check([spec])
        changes = mistreat(cluster, store, spec)
        for event in site.compute([spec], []):
            events.append(event)
            next(changes, None)
    assert [e.kind for e in events if e.kind in ("done", "failed")] == ["done"], events[-1]

    seen = [record for file in files(store) for record in records(file)]
    sizes = [size for size, _, _, _ in sorted(seen, key=lambda s: s[1])]
    assert (sizes[0], min(sizes), sizes[-1]) == (3, 2, 3)
    ids = ids_by_digest(spec, store)
    fed: dict[tuple[int, int], set[tuple[str, ...]]] = {}
    for _, step, chunks, images in seen:
        share = np.array([ids[i] for i in images]).reshape(len(chunks), -1)
        for chunk, examples in zip(chunks, share.tolist(), strict=True):
            fed.setdefault((step, chunk), set()).add(tuple(examples))
    names = select(spec, store).table["id"].to_pylist()
    for step in range(spec.num_steps):
        for chunk, rows in enumerate(step_rows(spec.size, budget, spec.seed, step)):
            # Steps after the last checkpoint are seen again, and are the same again.
            assert fed.pop((step, chunk)) == {tuple(names[row] for row in rows)}
    assert not fed


def mistreat(cluster: Raylets, store: Store, spec: Pretraining) -> Iterator[None]:
    """Each step of this looks once whether it is time for the next change."""
    yield from until(lambda: trained_by(store, spec, 3, after=5))
    cluster.lose_node(random.Random(0).choice(cluster.nodes_with_workers()))
    lost_at = checkpoints.last_step(store, spec.key)
    yield from until(lambda: trained_by(store, spec, 2, after=lost_at + 5))
    cluster.add_node()
    added_at = checkpoints.last_step(store, spec.key)
    yield from until(lambda: trained_by(store, spec, 3, after=added_at + 5))
    (Path(store.root) / "hurry").touch()


def until(happened: Any) -> Iterator[None]:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, "the group did not change its size"
        yield


def trained_by(store: Store, spec: Pretraining, num_workers: int, after: int) -> bool:
    """Whether a group of this size has passed a step and its checkpoint."""
    newest = max(files(store), key=lambda file: file.stat().st_mtime, default=None)
    seen = records(newest) if newest else []
    if not seen or seen[-1][0] != num_workers:
        return False
    return min(seen[-1][1], checkpoints.last_step(store, spec.key)) > after


def files(store: Store) -> list[Path]:
    return sorted((Path(store.root) / "seen").glob("*.jsonl"))


def records(file: Path) -> list[tuple[int, int, list[int], list[str]]]:
    """(number of workers, step, chunks, digests of their images) of each batch of one worker."""
    lines = file.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]  # the last may be cut short


def ids_by_digest(spec: Pretraining, store: Store) -> dict[str, str]:
    selection = select(spec, store)
    names = selection.table["id"].to_pylist()
    found: dict[str, str] = {}
    for step in range(-(-spec.size // spec.budget.batch_size)):
        loaded = load(Parcel(0, step, 1, 0), spec, selection, 1, Reader())
        rows = step_rows(spec.size, spec.budget, spec.seed, step).ravel()
        found |= {digest(i): names[row] for i, row in zip(loaded.inputs[0, 0], rows, strict=True)}
    assert len(found) == spec.size, "no two examples look the same"
    return found


def poisoned_work(config: dict[str, Any]) -> None:
    """What a worker does, but the run of seed 1 kills it, and that of seed 2 has no hope."""
    import os
    import signal

    from raystudy.cluster import train

    train_one = train.pretrain

    def poisoned(spec: Any, *rest: Any) -> None:
        if spec.seed == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if spec.seed == 2:
            raise train.HopelessError("it diverged")
        train_one(spec, *rest)

    train.pretrain = poisoned
    train._work(config)


def test_a_lane_goes_on_without_the_runs_that_fail(
    study: Study, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from raystudy.cluster import train
    from raystudy.cluster.site import Placement, RaySite

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setattr(train, "_work", poisoned_work)
    specs = [pretraining(study, store, seed=seed) for seed in range(4)]
    with RaySite(store, Placement(num_lanes=1)) as site:
        events = [e for e in site.compute(specs, []) if e.kind in ("done", "failed")]
    seeds = {s.key: s.seed for s in specs}
    assert [(seeds[e.key], e.kind) for e in events] == [
        (0, "done"),
        (1, "failed"),
        (2, "failed"),
        (3, "done"),
    ]
    assert "died 3 times in a row" in events[1].error
    assert events[2].error == "it diverged"
    assert {seeds[key] for key in store.done_keys("pretrainings")} == {0, 3}
