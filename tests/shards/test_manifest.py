"""Manifests: the same whoever builds them and wherever, complete after any interruption."""

from __future__ import annotations

import base64
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raystudy.shards import atomic, manifest, retried, workers
from raystudy.shards.index import index_shard
from raystudy.shards.manifest import Manifest, Plain, build, described, stale
from raystudy.shards.root import Root
from raystudy.shards.table import MAX_NAMED, SCHEMA, Fault

from .stores import EveryThird, Shaky, labelled, serve, write_tar

NUM_SHARDS = 6


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(retried, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(atomic.os, "fsync", lambda fd: None)
    Shaky.reset()
    yield
    Shaky.reset()


def shard(i: int) -> str:
    return f"{i:05d}.tar"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for i in range(NUM_SHARDS):
        write_tar(tmp_path / "data" / shard(i), labelled(range(i * 100, i * 100 + 8)))
    (tmp_path / "data" / "classnames.txt").write_text("zero\none\ntwo\n")
    return tmp_path / "data"


@dataclass(frozen=True)
class Counted(Plain):
    """Writes down each shard that it annotates."""

    log: str = ""

    def annotate(self, rows: pa.Table, metadata: Any) -> pa.Table:
        with open(self.log, "a") as file:
            print(rows["path"][0].as_py(), file=file)
        return rows


@pytest.fixture
def source(data: Path, tmp_path: Path) -> Counted:
    return Counted(str(data), str(tmp_path / "log"))


def indexed(source: Counted) -> list[str]:
    """The shards that were indexed since this was asked last."""
    log = Path(source.log)
    lines = log.read_text().split() if log.exists() else []
    log.unlink(missing_ok=True)
    return sorted(lines)


def content_of(path: Path | str, out: Path) -> str:
    """Of a manifest built from nothing, elsewhere."""
    shutil.rmtree(out, ignore_errors=True)
    return build(Plain(str(path)), str(out)).content


def test_what_a_manifest_says(source: Counted, data: Path) -> None:
    built = build(source)
    assert built.num_examples == NUM_SHARDS * 8
    assert built.class_names == ("zero", "one", "two")
    assert built.faults == {}
    rows = built.shards.to_pylist()
    assert [row["shard"] for row in rows] == [shard(i) for i in range(NUM_SHARDS)]
    for i, row in enumerate(rows):
        table = built.rows(i)
        assert table.schema == SCHEMA
        assert table.equals(index_shard(Root(str(data)), row["shard"]).table)
        assert row["num_examples"] == 8
        sizes, offsets = table["size"].to_pylist(), table["offset"].to_pylist()
        assert row["image_bytes"] == sum(sizes)
        assert (row["first_offset"], row["last_offset"]) == (min(offsets), max(offsets))
    about = json.loads((data / "_raystudy" / "manifest.json").read_text())
    assert about == described(str(data / "_raystudy"))
    assert about["num_shards"] == NUM_SHARDS
    assert about["image_bytes"] == sum(row["image_bytes"] for row in rows)
    assert about["source"] == "Counted"
    again = pickle.loads(pickle.dumps(Manifest.open(str(data / "_raystudy"))))
    assert again.content == built.content
    assert again.rows(0).equals(built.rows(0))


def test_content_is_that_of_the_examples_alone(source: Counted, data: Path, tmp_path: Path) -> None:
    content = build(source).content
    os.utime(data / shard(0), (1, 1))
    assert content_of(data, tmp_path / "m") == content, "time is nothing"
    assert content_of(shutil.copytree(data, tmp_path / "copy"), tmp_path / "m") == content
    assert content_of(f"shaky://{data}", tmp_path / "m") == content

    class Backwards(Plain):
        def shards(self, root: Root) -> list[str]:
            return [*super().shards(root)][::-1] * 2

    assert build(Backwards(str(data)), str(tmp_path / "backwards")).content == content


def test_content_tells_any_change(data: Path, tmp_path: Path) -> None:
    contents = [content_of(data, tmp_path / "m")]

    def changed() -> None:
        contents.append(content_of(data, tmp_path / "m"))
        assert len(set(contents)) == len(contents)

    examples = labelled(range(8))
    for suffix, value in (("cls", b"2"), ("txt", b"other"), ("json", b'{"similarity": 0.5}')):
        examples["000003"][suffix] = value
        write_tar(data / shard(0), examples)
        changed()
    examples["000003"]["jpg"] = examples["000004"]["jpg"]
    write_tar(data / shard(0), examples)
    changed()
    write_tar(data / shard(0), {id + "x": members for id, members in examples.items()})
    changed()
    (data / "classnames.txt").write_text("zero\none\nthree\n")
    changed()
    (data / shard(0)).rename(data / "other.tar")
    changed()
    (data / "other.tar").unlink()
    changed()


PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)


def test_content_stays_the_same_from_release_to_release(tmp_path: Path) -> None:
    """If this fails, every result on real data loses its name: raise ``FORMAT`` only for cause."""
    caption, about = "Größe, 漢字".encode(), b'{"similarity": 0.25, "punsafe": null}'
    examples = {
        "a/1": {"png": PIXEL, "cls": b"1", "txt": caption},
        "a/2": {"png": PIXEL, "json": about},
    }
    write_tar(tmp_path / "0.tar", examples)
    (tmp_path / "classnames.txt").write_text("cat\ndog\n")
    assert build(Plain(str(tmp_path))).content == "245382d04b7e6e6f4579"


def test_only_what_changed_is_indexed_again(source: Counted, data: Path, tmp_path: Path) -> None:
    first = build(source)
    assert indexed(source) == [shard(i) for i in range(NUM_SHARDS)]
    assert build(source).content == first.content
    assert indexed(source) == []
    write_tar(data / "new.tar", labelled(range(900, 905)))
    write_tar(data / shard(2), labelled(range(200, 204)))
    (data / shard(4)).unlink()
    second = build(source)
    assert indexed(source) == [shard(2), "new.tar"]
    assert second.num_examples == NUM_SHARDS * 8 + 5 - 4 - 8
    assert second.content == content_of(data, tmp_path / "m") != first.content
    rows = {f"rows/{p.name}" for p in (data / "_raystudy" / "rows").iterdir()}
    assert rows == set(second.shards["rows"].to_pylist()), "nothing else is left"


def test_stale_says_what_changed(source: Counted, data: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no manifest yet"):
        stale(source)
    build(source)
    assert stale(source) == []
    write_tar(data / shard(2), labelled(range(200, 204)))
    for i in range(4):
        write_tar(data / f"new{i}.tar", labelled(range(1)))
    (data / shard(4)).unlink()
    (data / shard(5)).unlink()
    (data / "classnames.txt").write_text("zero\none\ntwo\nthree\n")
    indexed(source)
    assert stale(source) == [
        "4 shards added",
        "1 shard changed: 00002.tar",
        "2 shards gone: 00004.tar, 00005.tar",
        "1 file changed: classnames.txt",
    ]
    assert indexed(source) == [], "no shard is read for it"
    build(source)
    assert stale(source) == []


def test_new_annotations_are_noticed(data: Path, tmp_path: Path) -> None:
    class Captioned(Plain):
        def metadata(self, root: Root) -> Any:
            return (root.read("captions/all.txt") or b"none").decode()

        def annotate(self, rows: pa.Table, metadata: Any) -> pa.Table:
            at = rows.schema.get_field_index("caption")
            return rows.set_column(at, "caption", pa.array([metadata] * rows.num_rows))

    source = Captioned(str(data))
    assert set(build(source).rows(0)["caption"].to_pylist()) == {"none"}
    (data / "captions").mkdir()
    (data / "captions" / "all.txt").write_text("a caption")
    assert stale(source) == ["1 file changed: captions/all.txt"]
    assert set(build(source).rows(0)["caption"].to_pylist()) == {"a caption"}
    assert stale(source) == []


def test_settings_of_a_source_are_noticed(data: Path) -> None:
    from raystudy.kinds import OnDisk

    class Prefixed(OnDisk):
        prefix: str = ""

        @property
        def name(self) -> str:
            return "prefixed"

        def missing(self, root: Root) -> tuple[str, ...]:
            return ()

        def shards(self, root: Root) -> list[str]:
            return root.glob("*.tar")

        def annotate(self, rows: pa.Table, metadata: Any) -> pa.Table:
            ids = [self.prefix + id for id in rows["id"].to_pylist()]
            return rows.set_column(0, "id", pa.array(ids))

    assert build(Prefixed(path=str(data))).rows(0)["id"][0].as_py() == "000000"
    assert stale(Prefixed(path=str(data), label="another name")) == []
    other = Prefixed(path=str(data), prefix="x")
    assert other.manifest_path != Prefixed(path=str(data)).manifest_path
    shared = other.model_copy(update={"index": Prefixed(path=str(data)).manifest_path})
    assert stale(shared) == ["made for prefix '', not 'x'"]
    mistaken = stale(Plain(str(data)), Prefixed(path=str(data)).manifest_path)
    assert mistaken == ["made for class Prefixed, not Plain"]
    assert build(other).rows(0)["id"][0].as_py() == "x000000"


def test_faults_are_counted_and_named(source: Counted, data: Path) -> None:
    bad = {f"{i:06d}": {"jpg": b"no image"} for i in range(30)}
    write_tar(data / shard(0), labelled(range(100, 103)) | bad)
    write_tar(data / shard(1), labelled(range(40, 48), num_classes=5))
    (data / shard(2)).write_bytes(b"\0" * 100 + b"nonsense")
    built = build(source)
    assert built.faults == {
        Fault.NOT_AN_IMAGE: 30,
        Fault.UNKNOWN_LABEL: 2,
        Fault.UNREADABLE_SHARD: 1,
    }
    assert built.num_examples == 3 + 6 + (NUM_SHARDS - 3) * 8
    assert set(built.rows(1)["label"].to_pylist()) == {0, 1, 2}
    named = built.named()
    assert named[Fault.UNREADABLE_SHARD] == [shard(2)]
    assert named[Fault.UNKNOWN_LABEL] == [f"{shard(1)}/{i:06d}" for i in (43, 44)]
    assert named[Fault.NOT_AN_IMAGE] == [f"{shard(0)}/{i:06d}" for i in range(MAX_NAMED)]
    assert all(len(where) <= 2 for where in built.named(2).values())


def test_any_label_goes_where_no_class_has_a_name(data: Path) -> None:
    (data / "classnames.txt").unlink()
    write_tar(data / shard(1), labelled(range(8), num_classes=100))
    built = build(Plain(str(data)))
    assert built.class_names == ()
    assert built.faults == {}


def test_progress_is_told(source: Counted, data: Path) -> None:
    told: list[tuple[int, int]] = []
    build(source, advance=lambda done, total: told.append((done, total)))
    assert told == [(i, NUM_SHARDS) for i in range(NUM_SHARDS + 1)]
    (data / shard(0)).unlink()
    told.clear()
    build(source, advance=lambda done, total: told.append((done, total)))
    assert told == [(NUM_SHARDS - 1, NUM_SHARDS - 1)]


SCRIPT = """
import os, sys, time
from counted import Slow
from raystudy.shards.manifest import build

if __name__ == "__main__":
    data, log, workers = sys.argv[1:]
    build(Slow(data, log), workers=int(workers))
"""
MODULE = """
import os, time
from dataclasses import dataclass
from raystudy.shards.manifest import Plain

@dataclass(frozen=True)
class Slow(Plain):
    log: str = ""

    def annotate(self, rows, metadata):
        time.sleep(0.1)
        with open(self.log, "a") as file:
            print(rows["path"][0].as_py(), os.getpid(), file=file)
        return rows

class Dying(Slow):
    def annotate(self, rows, metadata):
        os._exit(1)
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "counted.py").write_text(MODULE)
    (tmp_path / "script.py").write_text(SCRIPT)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "script.py"
    sys.modules.pop("counted", None)


def test_a_killed_build_goes_on_where_it_stopped(script: Path, data: Path, tmp_path: Path) -> None:
    for i in range(NUM_SHARDS, 20):
        write_tar(data / shard(i), labelled(range(i * 100, i * 100 + 2)))
    log = tmp_path / "log"
    command = [sys.executable, str(script), str(data), str(log), "2"]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 60
    while not log.exists() or len(log.read_text().splitlines()) < 4:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    started = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(started) >= 2, "the workers"
    while any(Path(f"/proc/{pid}/exe").exists() for pid in started):
        assert time.monotonic() < deadline, "they end with the process that started them"
        time.sleep(0.01)
    with pytest.raises(FileNotFoundError, match="raystudy data index"):
        described(str(data / "_raystudy"))
    done = len([p for p in (data / "_raystudy" / "rows").iterdir() if p.suffix == ".parquet"])
    assert 2 <= done < 20
    log.unlink()
    from counted import Slow  # type: ignore[import-not-found]

    source = Slow(str(data), str(log))
    built = build(source)
    assert len(log.read_text().splitlines()) == 20 - done, "only what was missing"
    assert built.content == content_of(data, tmp_path / "m")
    assert not list((data / "_raystudy").rglob("*.tmp"))


class _KillError(BaseException):
    pass


def test_a_build_may_stop_at_any_write(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was there before, and whichever write is the last: never half a manifest."""
    source = Plain(str(data))
    before = build(source).content
    shutil.copytree(data, tmp_path / "before")
    write_tar(data / shard(1), labelled(range(5)))
    (data / shard(3)).unlink()
    now = content_of(data, tmp_path / "m")
    replace = os.replace
    for last in range(4):
        shutil.rmtree(data / "_raystudy")
        shutil.copytree(tmp_path / "before" / "_raystudy", data / "_raystudy")
        left = iter(range(last))

        def replace_some(a: str, b: str, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise _KillError
            replace(a, b)

        with monkeypatch.context() as patch:
            patch.setattr(atomic.os, "replace", replace_some)
            try:
                build(source)
                stopped = False
            except _KillError:
                stopped = True
        assert stopped == (last < 3), "one shard, manifest.parquet, manifest.json"
        if last == 2:  # between the two
            with pytest.raises(ValueError, match="interrupted"):
                Manifest.open(str(data / "_raystudy"))
        else:
            opened = Manifest.open(str(data / "_raystudy"))
            assert opened.content == (before if stopped else now)
            tables = [opened.rows(i) for i in range(opened.shards.num_rows)]
            assert sum(table.num_rows for table in tables) == opened.num_examples
        assert build(source).content == now
        assert not list((data / "_raystudy").rglob("*.tmp"))


def test_content_does_not_depend_on_workers(script: Path, data: Path, tmp_path: Path) -> None:
    from counted import Slow  # type: ignore[import-not-found]

    shared = build(Slow(str(data), str(tmp_path / "log")), str(tmp_path / "two"), workers=2)
    assert shared.content == content_of(data, tmp_path / "one")
    assert len((tmp_path / "log").read_text().splitlines()) == NUM_SHARDS


def test_a_worker_that_dies_is_an_error(script: Path, data: Path, tmp_path: Path) -> None:
    from counted import Dying  # type: ignore[import-not-found]

    with pytest.raises(RuntimeError, match=r"died .* the same command goes on"):
        build(Dying(str(data), str(tmp_path / "log")), workers=2)


def test_data_may_be_where_nothing_can_be_written(data: Path, tmp_path: Path) -> None:
    def state() -> list[tuple[str, int, int]]:
        paths = [data, *data.rglob("*")]
        return sorted((str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in paths)

    before = state()
    source, out = Plain(str(data)), str(tmp_path / "elsewhere" / "manifest")
    built = build(source, out)
    assert stale(source, out) == []
    assert built.num_examples == NUM_SHARDS * 8
    assert state() == before
    (data / "_raystudy").write_text("in the way")  # root may write anywhere, but not here
    with pytest.raises(ValueError, match=r"_raystudy: cannot be written .*--index DIR"):
        build(source)


def test_a_manifest_among_the_data_is_no_shard(data: Path) -> None:
    class Anything(Plain):
        def shards(self, root: Root) -> list[str]:
            return root.glob("**/*.*")

    out = str(data / "my" / "manifest")
    first = build(Anything(str(data)), out)
    second = build(Anything(str(data)), out)
    assert second.content == first.content
    assert stale(Anything(str(data)), out) == []


def test_two_builds_at_once_are_refused(data: Path) -> None:
    source = Plain(str(data))
    other = atomic.alone(Root(str(data / "_raystudy")))
    with other, pytest.raises(RuntimeError, match="another process"):
        build(source)
    assert build(source).num_examples == NUM_SHARDS * 8


def test_no_shards_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no shards of Plain"):
        build(Plain(str(tmp_path)))


def test_annotations_that_are_amiss_name_the_shard(data: Path) -> None:
    class Broken(Plain):
        def annotate(self, rows: pa.Table, metadata: Any) -> pa.Table:
            return rows.drop_columns(["label"])

    class Holey(Plain):
        def annotate(self, rows: pa.Table, metadata: Any) -> pa.Table:
            at = rows.schema.get_field_index("caption")
            return rows.set_column(at, "caption", pa.nulls(rows.num_rows, pa.string()))

    with pytest.raises(ValueError, match=r"Broken\.annotate, shard 00000\.tar: .*label"):
        build(Broken(str(data)))
    with pytest.raises(ValueError, match=r"Holey\.annotate, shard 00000\.tar: .*caption has nulls"):
        build(Holey(str(data)))


def test_a_store_that_fails_now_and_then(data: Path, tmp_path: Path) -> None:
    local = content_of(data, tmp_path / "m")
    Shaky.fault = EveryThird()
    source = Plain(f"shaky://{data}")
    built = build(source)
    assert built.content == local
    assert built.faults == {}
    assert Manifest.open(f"shaky://{data}/_raystudy").rows(3).num_rows == 8
    assert stale(source) == []
    with serve(data, num_refused=2) as server:
        built = build(Plain(server.url), str(tmp_path / "http"))
        assert built.content == local
        assert stale(Plain(server.url), str(tmp_path / "http")) == []
        write_tar(data / shard(1), labelled(range(3)))
        os.utime(data / shard(1), (10**9, 10**9))
        assert stale(Plain(server.url), str(tmp_path / "http")) == ["1 shard changed: 00001.tar"]


def test_a_store_that_was_down_is_not_held_against_a_shard(data: Path, tmp_path: Path) -> None:
    def down(what: str, path: str, content: bytes) -> bytes:
        if path.endswith(shard(2)) and what == "cat":
            raise OSError("bad gateway")
        return content

    Shaky.fault = down
    source, out = Plain(f"shaky://{data}"), str(tmp_path / "out")
    assert build(source, out).faults == {Fault.UNREADABLE_SHARD: 1}
    Shaky.reset()
    healed = build(source, out)
    assert healed.faults == {}
    assert healed.content == content_of(data, tmp_path / "m")


def test_no_manifest_names_the_way_out(data: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        described(str(data / "_raystudy"))
    assert str(error.value) == (
        f"{data}/_raystudy: no manifest yet; make it with: raystudy data index {data}"
    )
    with pytest.raises(FileNotFoundError, match=rf"data index PATH --index {tmp_path}/m$"):
        Manifest.open(str(tmp_path / "m"))


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"format": 0}', b"\xff"])
def test_a_damaged_summary_is_refused_and_mended(data: Path, damage: bytes) -> None:
    source = Plain(str(data))
    content = build(source).content
    (data / "_raystudy" / "manifest.json").write_bytes(damage)
    with pytest.raises(ValueError, match=r"manifest\.json: .*raystudy data index"):
        described(str(data / "_raystudy"))
    assert build(source).content == content


def test_damaged_tables_are_refused_and_mended(source: Counted, data: Path) -> None:
    built = build(source)
    indexed(source)
    (data / "_raystudy" / "manifest.parquet").write_bytes(b"PAR1 nonsense PAR1")
    with pytest.raises(ValueError, match=r"manifest\.parquet: .*raystudy data index"):
        Manifest.open(str(data / "_raystudy"))
    assert build(source).content == built.content
    assert indexed(source) == [], "the rows files say it all"
    rows = data / "_raystudy" / built.shards["rows"][0].as_py()
    rows.write_bytes(rows.read_bytes()[:-20])
    with pytest.raises(ValueError, match="delete it and make it"):
        built.rows(0)
    rows.unlink()
    with pytest.raises(ValueError, match=r"; make it with: raystudy data index"):
        built.rows(0)
    assert build(source).rows(0).num_rows == 8
    assert indexed(source) == [shard(0)]


def test_rows_files_need_nothing_else(source: Counted, data: Path) -> None:
    """A reader of parquet alone finds the examples, and what is said of them."""
    build(source)
    file = next((data / "_raystudy" / "rows").glob("*.parquet"))
    assert pq.read_table(file).schema.equals(SCHEMA)
    assert json.loads(pq.read_schema(file).metadata[workers.FOOTER])["num_examples"] == 8


def test_summaries_are_not_read_twice(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(Plain(str(data)))
    described(str(data / "_raystudy"))
    monkeypatch.setattr(manifest.Root, "read", None)
    assert described(str(data / "_raystudy"))["num_examples"] == NUM_SHARDS * 8
