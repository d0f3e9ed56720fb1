"""Checkpoints under stores that fail: the last good one stays, and the run says why it stops."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
import torch
from fsspec.implementations.local import LocalFileSystem

from raystudy.spec import Pretraining, Study
from raystudy.stages import checkpoints
from raystudy.stages.batches import local_batches
from raystudy.stages.checkpoints import CheckpointWriter, last_state, last_step
from raystudy.stages.fabric import LocalFabric
from raystudy.stages.index import index
from raystudy.stages.pretrain import StoreError, pretrain
from raystudy.stages.select import select
from raystudy.store import Store


def state(step: int, floats: int = 8) -> dict:
    return {"step": step, "objective": {"weight": torch.full((floats,), float(step))}}


def test_the_last_two_are_kept(store: Store) -> None:
    writer = CheckpointWriter(store, "run")
    for step in (10, 200, 3000):
        writer.save(state(step))
    writer.flush()
    assert store.names(checkpoints.ROOM, "run") == ["000000000200.pt", "000000003000.pt"]
    found = last_state(store, "run")
    assert found
    assert found["step"] == last_step(store, "run") == 3000


def test_training_goes_on_while_a_checkpoint_is_written(store: Store) -> None:
    """What is written is what was there when it was asked for."""
    writer, weights = CheckpointWriter(store, "run"), state(1)
    writer.save(weights)
    weights["objective"]["weight"].fill_(-1)
    writer.flush()
    found = last_state(store, "run")
    assert found
    assert found["objective"]["weight"].tolist() == [1.0] * 8


def test_a_damaged_checkpoint_costs_only_itself(store: Store) -> None:
    writer = CheckpointWriter(store, "run")
    writer.save(state(1))
    writer.save(state(2))
    writer.flush()
    path = Path(store.path(checkpoints.ROOM, "run", "000000000002.pt"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RuntimeError, match="damaged"):
        last_state(store, "run")
    found = last_state(store, "run")
    assert found
    assert found["step"] == last_step(store, "run") == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("mount") is None or os.getuid():
        pytest.skip("only root can mount a small disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "none", folder], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def first(study: Study) -> Pretraining:
    return next(b for b in study.grids[0].backbones() if isinstance(b, Pretraining))


def test_a_full_disk_stops_the_run_and_spares_the_last_checkpoint(
    study: Study, small_disk: Path
) -> None:
    store, spec = Store(small_disk), first(study)
    index(spec.source, store)  # pyright: ignore[reportArgumentType]
    selection = select(spec, store)

    def train(fill_at: int | None) -> None:
        def batches(step: int):
            for batch in local_batches(spec, selection, store, step):
                if batch.step == fill_at:
                    fabric.flush()
                    free = os.statvfs(small_disk)
                    size = free.f_bavail * free.f_frsize
                    (small_disk / "other").write_bytes(bytes(max(0, size - 20_000)))
                yield batch

        fabric = LocalFabric(store, spec.key, lambda *_: None, 0.0)
        pretrain(spec, selection, batches, fabric)

    with pytest.raises(StoreError, match=r"No space left.*is kept: make room"):
        train(fill_at=6)
    kept = last_step(store, spec.key)
    assert 1 <= kept <= 6
    assert last_state(store, spec.key)
    assert not [name for name in store.names(checkpoints.ROOM, spec.key) if "part" in name]
    (small_disk / "other").unlink()
    train(fill_at=None)
    assert store.done("pretrainings", spec.key)


class Refusing(LocalFileSystem):
    """A remote store that takes no more checkpoints after the third."""

    protocol = "refusing"
    written = 0

    def __init__(self, **options):
        super().__init__(auto_mkdir=True, **options)

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        if "checkpoints" in path:
            type(self).written += 1
            if self.written > 3:
                raise PermissionError("the bucket is gone")
        return super().pipe_file(path, value, mode, **kwargs)


def test_a_failing_store_stops_the_run_with_its_reason(study: Study, tmp_path: Path) -> None:
    fsspec.register_implementation("refusing", Refusing, clobber=True)
    store, spec = Store(f"refusing://{tmp_path}/store"), first(study)
    index(spec.source, store)  # pyright: ignore[reportArgumentType]
    selection = select(spec, store)
    fabric = LocalFabric(store, spec.key, lambda *_: None, 0.0)
    with pytest.raises(StoreError, match="the bucket is gone"):
        pretrain(spec, selection, lambda s: local_batches(spec, selection, store, s), fabric)
    assert last_state(store, spec.key)
