"""A data set with every fault that is found in the wild: what is whole streams through, what is not
is counted by its reason, exactly."""

import io
import json
import pickle
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raystudy.methods.supervised import Supervised
from raystudy.shards.manifest import build
from raystudy.shards.table import Fault
from raystudy.sources.webdataset import WebDataset
from raystudy.spec import Architecture, Budget, Preprocessing, Pretraining
from raystudy.stages.batches import local_batches, noted_faults
from raystudy.stages.index import check_faults
from raystudy.stages.select import select
from raystudy.store import Store

PER_SHARD, SHARDS, CLASSES = 100, 12, 10
RATES = {
    Fault.EMPTY_IMAGE: 0.02,
    Fault.NO_IMAGE: 0.03,
    Fault.NOT_AN_IMAGE: 0.02,
    Fault.TOO_MANY_PIXELS: 0.01,
    Fault.BAD_LABEL: 0.02,
    Fault.UNKNOWN_LABEL: 0.03,
    Fault.REPEATED_ID: 0.01,
    Fault.BAD_IMAGE: 0.05,
}
"""Of examples, one fault each; beside them come a cut tar and a shard that is none."""


KINDS = (None, *RATES)


class Trap:
    def __reduce__(self) -> tuple:
        return (pytest.fail, ("a pickle was opened",))


def jpeg(i: int) -> bytes:
    pixels = np.random.default_rng(i).integers(0, 255, (8, 10, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((40, 32)).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def bomb() -> bytes:
    data = bytearray(jpeg(0))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = b"\xff\xf0\xff\xf0"
    return bytes(data)


def members(i: int, fault: Fault | None) -> list[tuple[str, bytes]]:
    id, image, label = f"{i:06d}", jpeg(i), str(i % CLASSES).encode()
    match fault:
        case Fault.EMPTY_IMAGE:
            image = b""
        case Fault.NOT_AN_IMAGE:
            image = b"<html>404</html>"
        case Fault.TOO_MANY_PIXELS:
            image = bomb()
        case Fault.BAD_IMAGE:
            image = image[: len(image) // 2]
        case Fault.BAD_LABEL:
            label = b"cat"
        case Fault.UNKNOWN_LABEL:
            label = str(CLASSES + i).encode()
    found = [(f"{id}.cls", label), (f"{id}.txt", b"a picture"), (f"{id}.jpg", image)]
    if fault is Fault.NO_IMAGE:
        found.pop()
    if fault is Fault.REPEATED_ID:
        found.append((f"{id}.png", jpeg(i + 1)))
    if i % 7 == 0:  # none of ours, and traps
        found.append((f"{id}.pkl", pickle.dumps(Trap())))
        found.append((f"../../{id}.escaped", b"x"))
    return found


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Fault]]:
    """The folder, and what is wrong with which example."""
    folder = tmp_path_factory.mktemp("damaged")
    rng = np.random.default_rng(0)
    wrong: dict[str, Fault] = {}
    for n in range(SHARDS):
        entries: list[tuple[str, bytes]] = []
        for i in range(n * PER_SHARD, (n + 1) * PER_SHARD):
            drawn = rng.choice(len(KINDS), p=[1 - sum(RATES.values()), *RATES.values()])
            fault = KINDS[drawn]
            if fault:
                wrong[f"{i:06d}"] = fault
            entries += members(i, fault)
        if n == 3:  # keys that are not contiguous: all labels first
            entries.sort(key=lambda entry: entry[0].endswith((".jpg", ".png")))
        with tarfile.open(folder / f"{n:05d}.tar", "w") as tar:
            for name, data in entries:
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    (folder / "99998.tar").write_bytes(np.random.default_rng(1).bytes(5000))
    (folder / "99999.tar").write_bytes(b"")
    (folder / "classnames.txt").write_text("".join(f"class {c}\n" for c in range(CLASSES)))
    return folder, wrong


def test_every_fault_is_counted_and_nothing_else_is_lost(damaged, tmp_path: Path) -> None:
    folder, wrong = damaged
    cut = folder / "00005.tar"
    whole = cut.read_bytes()
    with tarfile.open(cut) as tar:
        last = [m for m in tar if m.name.endswith(".jpg")][-10]
    cut.write_bytes(whole[: last.offset_data + last.size // 2])
    first_lost = int(Path(last.name).stem)
    lost = {f"{i:06d}" for i in range(first_lost, 6 * PER_SHARD)}

    manifest = build(WebDataset(path=str(folder)))
    remaining = {id: fault for id, fault in wrong.items() if id not in lost}
    expected = Counter(str(f) for f in remaining.values() if f is not Fault.BAD_IMAGE)
    expected[str(Fault.CUT_TAR)] += 1
    expected[str(Fault.CUT_EXAMPLE)] += 1
    expected[str(Fault.UNREADABLE_SHARD)] += 2
    assert Counter(manifest.faults) == expected

    source, store = WebDataset(path=str(folder)), Store(tmp_path / "store")
    there = {id for i in range(len(manifest.shards)) for id in manifest.rows(i)["id"].to_pylist()}
    everyone = {f"{i:06d}" for i in range(SHARDS * PER_SHARD)}
    unusable = {id for id, f in remaining.items() if f not in (Fault.BAD_IMAGE, Fault.REPEATED_ID)}
    assert there == everyone - lost - unusable

    spec = Pretraining(
        method=Supervised(),
        architecture=Architecture(name="resnet18", preprocessing=Preprocessing(image_size=16)),
        source=source,
        size=len(there),
        budget=Budget(epochs=1, batch_size=10, chunk_size=5),
    )
    selection = select(spec, store)
    batches = list(local_batches(spec, selection, store, 0))
    assert sum(len(b.labels) for b in batches) == len(there) // 10 * 10
    bad = {id for id in there if wrong.get(id) is Fault.BAD_IMAGE}
    noted = noted_faults(store, spec)
    # The last incomplete batch of the epoch is not read.
    assert set(noted) <= bad
    assert len(bad) - len(noted) <= 10
    assert set(noted.values()) == {str(Fault.BAD_IMAGE)}
    assert selection.left_out == dict(expected)
    assert json.loads(json.dumps(selection.left_out)) == selection.left_out
    assert not list(folder.parent.rglob("*escaped*"))


def test_too_many_faults_are_refused_with_the_list(damaged, tmp_path: Path) -> None:
    folder, _ = damaged
    build(WebDataset(path=str(folder)))
    source = WebDataset(path=str(folder))
    check_faults(source, Store(tmp_path), 0.5)
    with pytest.raises(ValueError, match=r"are damaged, over the 1\.0% of --max-bad-rate: a"):
        check_faults(source, Store(tmp_path), 0.01)
