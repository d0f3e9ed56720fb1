"""What a step sees: the same pixels, labels and captions for any number of workers, any cut of the
stream into parcels and any order of the shards; exactly the rest after a resumption."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from raystudy.methods.clip import CLIP
from raystudy.methods.simclr import SimCLR
from raystudy.noise.shuffled_captions import ShuffledCaptions
from raystudy.noise.symmetric import Symmetric
from raystudy.order import Parcels
from raystudy.shards.manifest import build
from raystudy.shards.read import Reader
from raystudy.shards.table import Fault
from raystudy.sources.webdataset import WebDataset
from raystudy.spec import Architecture, Augmentation, Budget, Preprocessing, Pretraining
from raystudy.stages.batches import load, local_batches, noted_faults, unpack
from raystudy.stages.pretrain import BadDataError
from raystudy.stages.select import select
from raystudy.stages.site import InProcess
from raystudy.store import Store

CLASSES = ("red", "green", "blue")


def jpeg(i: int, side: tuple[int, int] = (40, 30)) -> bytes:
    rng = np.random.default_rng(i)
    buffer = io.BytesIO()
    pixels = rng.integers(0, 255, (side[1] // 5, side[0] // 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize(side).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def write_shards(
    folder: Path, names: list[str], per_shard: int, damaged: frozenset[int] = frozenset()
) -> None:
    """The examples are the same whatever the shards are called."""
    folder.mkdir(parents=True)
    (folder / "classnames.txt").write_text("\n".join(CLASSES))
    for n, name in enumerate(names):
        with tarfile.open(folder / f"{name}.tar", "w") as tar:
            for i in range(n * per_shard, (n + 1) * per_shard):
                image = jpeg(i)
                if i in damaged:  # its header is whole, its body is not
                    image = image[: len(image) // 2]
                members = {
                    "jpg": image,
                    "cls": str(i % len(CLASSES)).encode(),
                    "txt": f"picture {i}".encode(),
                }
                for suffix, data in members.items():
                    entry = tarfile.TarInfo(f"{i:05d}.{suffix}")
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))
    build(WebDataset(path=str(folder)))


def pretraining(folder: Path, size: int, **changes: object) -> Pretraining:
    fields = {
        "method": CLIP(),
        "architecture": Architecture(
            name="resnet18",
            args={"layers": [1, 1, 1, 1], "channels": [4, 4, 8, 8]},
            preprocessing=Preprocessing(image_size=16),
        ),
        "source": WebDataset(path=str(folder)),
        "size": size,
        "noise": ShuffledCaptions(rate=0.3),
        "budget": Budget(epochs=2, batch_size=24, chunk_size=2),
        "augmentation": Augmentation(random_crop=(0.2, 1.0)),
    }
    return Pretraining(**(fields | changes))  # pyright: ignore[reportArgumentType]


Seen = dict[tuple[int, int], tuple[bytes, list[int], list[str]]]


def seen(
    spec: Pretraining, store: Store, num_workers: int, per_parcel: int, first: int = 0
) -> Seen:
    """(step, chunk) → pixels, labels, captions, as the workers of a stream receive them."""
    selection, n, found = select(spec, store), spec.budget.chunk_size, {}
    with Reader() as reader:
        for parcel in Parcels({0: first}, [spec], num_workers, [per_parcel]):
            loaded = load(parcel, spec, selection, num_workers, reader)
            for batch in unpack(parcel, loaded, spec, num_workers, 0.0):
                for k, chunk in enumerate(batch.chunks):
                    at = slice(k * n, (k + 1) * n)
                    found[batch.step, chunk] = (
                        batch.inputs[:, at].tobytes(),
                        batch.labels[at].tolist(),
                        batch.captions[at],
                    )
    return found


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "plain"
    write_shards(folder, ["a", "b", "c"], 20)
    return folder


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_every_number_of_workers_sees_the_same(
    shards: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    method, noise = data.draw(
        st.sampled_from([(CLIP(), ShuffledCaptions(rate=0.3)), (SimCLR(), None)])
    )
    budget = Budget(
        epochs=2, batch_size=24, chunk_size=2, run_length=data.draw(st.sampled_from([1, 5]))
    )
    spec = pretraining(shards, 50, method=method, noise=noise, budget=budget)
    store = Store(tmp_path_factory.mktemp("store"))
    one = seen(spec, store, 1, data.draw(st.integers(1, 5)))
    assert len(one) == spec.num_steps * 12
    for workers in (2, 3, 4):
        assert seen(spec, store, workers, data.draw(st.integers(1, 5))) == one
    first = data.draw(st.integers(0, spec.num_steps - 1))
    rest = seen(spec, store, data.draw(st.sampled_from([1, 2, 4])), 3, first)
    assert rest == {k: v for k, v in one.items() if k[0] >= first}


def test_where_data_lies_and_how_it_is_cut_changes_nothing(shards: Path, tmp_path: Path) -> None:
    """Sampled by example, even other shards with the same examples give the same stream."""
    write_shards(tmp_path / "cut", ["z", "m", "k", "j", "b", "a"], 10)
    specs = [pretraining(folder, 40) for folder in (shards, tmp_path / "cut")]
    assert specs[0].key != specs[1].key, "shards are part of what a source is"
    streams = [seen(spec, Store(tmp_path / spec.key), 1, 2) for spec in specs]
    assert streams[0] == streams[1]


def test_views_of_one_image_show_different_regions(shards: Path, tmp_path: Path) -> None:
    spec = pretraining(shards, 48, method=SimCLR(), noise=None)
    store = Store(tmp_path)
    batch = next(local_batches(spec, select(spec, store), store, 0))
    assert batch.inputs.shape == (2, 24, 16, 16, 3)
    differ = (batch.inputs[0] != batch.inputs[1]).any(axis=(1, 2, 3))
    assert differ.mean() > 0.9


DAMAGED = frozenset(range(3, 60, 10))


def test_a_damaged_image_is_replaced_and_counted(tmp_path: Path) -> None:
    write_shards(tmp_path / "data", ["a", "b", "c"], 20, DAMAGED)
    spec, store = pretraining(tmp_path / "data", 60), Store(tmp_path / "store")
    one = seen(spec, store, 1, 1)
    assert seen(spec, store, 3, 4) == one
    captions = {c for _, _, chunk in one.values() for c in chunk}
    assert len(one) == spec.num_steps * 12
    assert all(np.frombuffer(pixels, np.uint8).any() for pixels, _, _ in one.values())
    selection = select(spec, store)
    for batch in local_batches(spec, selection, store, 0):
        assert len(batch.captions) == 24
    bad = {f"{i:05d}": str(Fault.BAD_IMAGE) for i in DAMAGED}
    assert noted_faults(store, spec) == bad
    assert captions


@pytest.mark.parametrize("tolerated", [0.05, 0.5])
def test_too_much_damage_ends_the_run_with_its_list(tmp_path: Path, tolerated: float) -> None:
    write_shards(tmp_path / "data", ["a", "b", "c"], 20, DAMAGED)
    store = Store(tmp_path / "store")
    spec = pretraining(tmp_path / "data", 60)
    site = InProcess(store, max_bad_rate=tolerated)
    (end,) = [e for e in site.compute([spec], []) if e.kind != "progress"]
    if tolerated == 0.05:
        assert end.kind == "failed"
        assert BadDataError.__name__ in end.error
        assert "--max-bad-rate" in end.error
        assert "an image that cannot be decoded (" in end.error
        return
    assert end.kind == "done"
    facts = store.provenance("pretrainings", spec.key)
    assert facts["faults"] == {str(Fault.BAD_IMAGE): len(DAMAGED)}
    assert facts["faulty_examples"] == [f"{i:05d}" for i in sorted(DAMAGED)]
    assert store.names("faults", spec.key) == []


def test_label_noise_reaches_the_stream(shards: Path, tmp_path: Path) -> None:
    from raystudy.methods.supervised import Supervised

    store = Store(tmp_path)
    clean = pretraining(shards, 48, method=Supervised(), noise=None)
    noisy = pretraining(shards, 48, method=Supervised(), noise=Symmetric(rate=0.5))
    labels = [
        np.concatenate([b.labels for b in local_batches(s, select(s, store), store, 0)])
        for s in (clean, noisy)
    ]
    share = float(np.mean(labels[0] != labels[1]))
    assert share == pytest.approx(select(noisy, store).realised_noise, abs=0.1)
    assert 0.2 < share < 0.8
