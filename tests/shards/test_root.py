"""The folder or prefix below which a data set lies: the same answers from disk and from stores."""

from __future__ import annotations

import os
import pickle
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raystudy.shards import bytes as opened
from raystudy.shards import retried
from raystudy.shards.bytes import Bytes
from raystudy.shards.root import Root

from .stores import EveryThird, Shaky, labelled, serve, write_tar

FILES = {
    "0.tar": b"first",
    "1.tar": b"",
    "notes.txt": b"x" * 100,
    "a/2.tar": b"2",
    "a/b/3.tar": b"3",
    "a/b/c/4.tar": b"4",
    "a b/é.tar": b"5",
    ".hidden/5.tar": b"no",
    ".5.tar": b"no",
    "_raystudy/manifest.parquet": b"no",
    "_raystudy/rows/6.tar": b"no",
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(retried, "FIRST_WAIT_S", 0.001)
    Shaky.reset()
    yield
    Shaky.reset()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "tree"


@pytest.fixture(params=["local", "file", "shaky", "http"])
def root(request: pytest.FixtureRequest, tree: Path) -> Iterator[Root]:
    match request.param:
        case "local":
            yield Root(str(tree))
        case "file":
            yield Root(f"file://{tree}/")
        case "shaky":
            yield Root(f"shaky://{tree}")
        case _:
            with serve(tree) as server:
                yield Root(server.url)


def listed(root: Root, paths: list[str]) -> list[str]:
    """A web server's own listing quotes names; the paths in it are used as they come."""
    from urllib.parse import unquote

    return [unquote(path) for path in paths] if root.url.startswith("http") else paths


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.tar", ["0.tar", "1.tar"]),
        ("*/*.tar", ["a b/é.tar", "a/2.tar"]),
        ("a/*.tar", ["a/2.tar"]),
        ("**/*.tar", ["0.tar", "1.tar", "a b/é.tar", "a/2.tar", "a/b/3.tar", "a/b/c/4.tar"]),
        ("a/**/*.tar", ["a/2.tar", "a/b/3.tar", "a/b/c/4.tar"]),
        ("[0-9].tar", ["0.tar", "1.tar"]),
        ("?.tar", ["0.tar", "1.tar"]),
        ("*.parquet", []),
        ("absent/*.tar", []),
    ],
)
def test_glob(root: Root, pattern: str, found: list[str]) -> None:
    assert listed(root, root.glob(pattern)) == sorted(found)


def test_folders_and_files(root: Root) -> None:
    assert listed(root, root.folders()) == ["a", "a b"]
    assert listed(root, root.files()) == ["0.tar", "1.tar", "notes.txt"]
    assert root.folders("a/b") == ["a/b/c"]
    assert root.files("a/b") == ["a/b/3.tar"]
    assert root.files("absent") == root.folders("absent") == []


def test_reading_whole_files(root: Root) -> None:
    assert root.read("0.tar") == b"first"
    assert root.read("1.tar") == b""
    assert root.read("absent.txt") is None
    assert root.read("absent/x.txt") is None
    with pytest.raises(ValueError, match=r"notes\.txt: 100 bytes, over the limit of 99"):
        root.read("notes.txt", limit=99)
    assert root.exists("a/2.tar")
    assert root.exists("a")
    assert not root.exists("b")


def test_a_root_travels(root: Root) -> None:
    copy = pickle.loads(pickle.dumps(root))
    assert copy.url == root.url
    assert copy.is_local == root.is_local
    assert copy.read("0.tar") == b"first"


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "a/..", "x\0y"])
def test_paths_stay_below_the_root(tree: Path, path: str) -> None:
    root = Root(str(tree))
    for ask in (root.read, root.open, root.glob, root.stamp, root.exists, root.files, root.full):
        with pytest.raises(ValueError, match="below the root"):
            ask(path)


def test_stamps_tell_change(tree: Path) -> None:
    for url in (str(tree), f"shaky://{tree}"):
        root = Root(url)
        first, folder = root.stamp("0.tar"), root.stamp("a")
        assert Root(url).stamp("0.tar") == first, "nothing has changed"
        (tree / "0.tar").write_bytes(b"FIRST")
        os.utime(tree / "0.tar", (len(url), len(url)))
        assert Root(url).stamp("0.tar") != first, "the same size at another time"
        (tree / "a" / f"new{len(url)}").write_bytes(b"")
        assert Root(url).stamp("a") != folder
        with pytest.raises(FileNotFoundError):
            root.stamp("absent")


def test_links_in_a_ring_end(tree: Path) -> None:
    (tree / "a" / "again").symlink_to(tree)
    (tree / "other").symlink_to(tree / "a" / "b")
    assert "other/3.tar" in Root(str(tree)).glob("**/*.tar"), "a link to a folder is followed"
    assert len(Root(str(tree)).glob("**/*.tar")) < 30


def test_what_is_no_file_is_refused(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    (tree / "dangling").symlink_to(tree / "nowhere")
    with pytest.raises(OSError, match="not a regular file"):
        Root(str(tree)).open("pipe")  # without waiting for a writer
    with pytest.raises(IsADirectoryError):
        Root(str(tree)).open("a")
    assert Root(str(tree)).read("dangling") is None
    assert Root(str(tree)).files() == ["0.tar", "1.tar", "notes.txt"]


def test_names_that_are_not_utf8_are_left_out(tree: Path) -> None:
    with open(os.fsencode(tree) + b"/\xff.tar", "wb"):
        assert Root(str(tree)).glob("*.tar") == ["0.tar", "1.tar"]


@given(st.data())
def test_bytes_at_any_place(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content = data.draw(st.binary(max_size=300))
    path = tmp_path_factory.mktemp("bytes") / "x"
    path.write_bytes(content)
    places = data.draw(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 2**62)), max_size=8))
    for url in (str(path.parent), f"shaky://{path.parent}"):
        with pytest.MonkeyPatch.context() as patch, Root(url).open("x") as file:
            patch.setattr(opened, "READ_AHEAD_BYTES", 64)
            assert file.size == len(content)
            for offset, n in places:
                assert file.at(offset, n) == content[offset : offset + n]


def test_bytes_are_a_file_object_for_other_libraries(tmp_path: Path) -> None:
    examples = labelled(range(20))
    write_tar(tmp_path / "0.tar", examples)
    table = pa.table({"n": list(range(10_000)), "text": [f"row {i}" for i in range(10_000)]})
    pq.write_table(table, tmp_path / "0.parquet", row_group_size=1000)
    for url in (str(tmp_path), f"shaky://{tmp_path}"):
        with Root(url).open("0.tar") as file, tarfile.open(fileobj=file) as archive:
            found = {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]
        assert found == {f"{i}.{s}": d for i, e in examples.items() for s, d in e.items()}
        with Root(url).open("0.parquet") as file:
            assert pq.ParquetFile(file).read().equals(table)


def test_reading_ahead_saves_requests(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", labelled(range(200)))
    with Root(f"shaky://{tmp_path}").open("0.tar") as file:
        read = b"".join(file.at(at, 512) for at in range(0, file.size, 512))
    assert read == (tmp_path / "0.tar").read_bytes()
    assert [what for what, *_ in Shaky.requests] == ["info", "cat"]


def test_a_busy_store_is_asked_again(tree: Path) -> None:
    Shaky.fault = EveryThird()
    root = Root(f"shaky://{tree}")
    assert root.glob("*.tar") == ["0.tar", "1.tar"]
    assert root.read("0.tar") == b"first"
    assert root.exists("notes.txt")


def test_a_web_server_that_is_busy_is_asked_again(tree: Path) -> None:
    with serve(tree, num_refused=2) as server:
        root = Root(server.url)
        assert root.read("notes.txt") == FILES["notes.txt"]
        assert root.read("absent.txt") is None, "not there is not the same as busy"


def test_a_store_that_stays_down_is_an_error_with_its_name(tree: Path) -> None:
    def down(what: str, path: str, data: bytes) -> bytes:
        raise RuntimeError("no route to host")  # clients of stores raise anything

    Shaky.fault = down
    with pytest.raises(OSError, match=r"shaky://.*/0\.tar: no route to host"):
        Root(f"shaky://{tree}").read("0.tar")
    assert len(Shaky.requests) == retried.ATTEMPTS


def test_what_is_not_there_is_asked_for_once(tree: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Root(f"shaky://{tree}").open("absent")
    assert len(Shaky.requests) == 1


def test_bytes_that_come_short_are_fetched_again(tree: Path) -> None:
    answers = iter([b"xx", b"", b"x" * 100])
    with Root(f"shaky://{tree}").open("notes.txt") as file:
        Shaky.fault = staticmethod(lambda what, path, data: next(answers))
        assert file.at(0, 100) == b"x" * 100
    Shaky.fault = staticmethod(lambda what, path, data: b"y" * 200)  # a server without ranges
    with Root(f"shaky://{tree}").open("notes.txt") as file, pytest.raises(OSError, match="200"):
        file.at(10, 5)


def test_an_unknown_kind_of_url_says_so() -> None:
    with pytest.raises(ValueError, match=r"nosuch://x: .*give a folder or an fsspec URL"):
        Root("nosuch://x").glob("*.tar")


def test_closed_files_give_their_descriptors_back(tree: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        with Root(str(tree)).open("0.tar") as file:
            assert isinstance(file, Bytes)
    assert len(os.listdir("/proc/self/fd")) == before
