"""Tables of contexts: where each row lies, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from raystudy.shards import contexts
from raystudy.shards.index import index_shard
from raystudy.shards.read import Reader
from raystudy.shards.root import Root
from raystudy.shards.table import Fault


def table(folder: Path, values: np.ndarray, name: str = "00000.npy") -> Root:
    np.save(folder / name, values)
    return Root(str(folder))


@given(num=st.integers(0, 40), length=st.integers(1, 30), seed=st.integers(0, 99))
@settings(deadline=None)
def test_every_row_is_an_example(tmp_path_factory, num: int, length: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 1 << 16, (num, length)).astype("<u2")
    folder = tmp_path_factory.mktemp("shards")
    rows = index_shard(table(folder, values), "00000.npy").table.to_pydict()
    assert rows["id"] == [f"00000-{i:07d}" for i in range(num)]
    assert rows["digest"] == [xxh3_64_intdigest(row.tobytes()) for row in values]
    places = zip([str(folder / "00000.npy")] * num, rows["offset"], rows["size"], strict=True)
    with Reader() as reader:
        assert reader.read(list(places)) == [row.tobytes() for row in values]


def test_a_file_that_was_cut_off_keeps_its_whole_rows(tmp_path: Path) -> None:
    root = table(tmp_path, np.arange(100, dtype="<u2").reshape(10, 10))
    path = tmp_path / "00000.npy"
    path.write_bytes(path.read_bytes()[:-21])
    found = index_shard(root, "00000.npy")
    assert found.table.num_rows == 8
    assert found.faults == {Fault.UNREADABLE: 1}


class Harmful:
    def __reduce__(self):  # type: ignore[no-untyped-def]
        return print, ("unpickled",)


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((3, 4), np.float32),
        np.zeros((3, 4), ">u2"),
        np.zeros(7, "<u2"),
        np.zeros((2, 0), "<u2"),
        np.asfortranarray(np.zeros((3, 4), "<u2")),
        np.array([[Harmful()]], dtype=object),
    ],
    ids=["float", "big-endian", "flat", "empty", "by-column", "objects"],
)
def test_other_arrays_are_refused_and_never_unpickled(tmp_path: Path, values, capsys) -> None:
    found = index_shard(table(tmp_path, values), "00000.npy")
    assert found.table.num_rows == 0
    assert found.faults == {Fault.UNREADABLE_SHARD: 1}
    assert not capsys.readouterr().out


@given(data=st.binary(max_size=300), at=st.integers(6, 120), junk=st.binary(max_size=20))
@settings(deadline=None, max_examples=150)
def test_hostile_headers_never_raise(tmp_path_factory, data: bytes, at: int, junk: bytes) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    np.save(folder / "a.npy", np.zeros((3, 5), "<u2"))
    whole = (folder / "a.npy").read_bytes()
    (folder / "a.npy").write_bytes(whole[:at] + junk + whole[at + len(junk) :])
    (folder / "b.npy").write_bytes(contexts.MAGIC + data)
    for name in ("a.npy", "b.npy"):
        assert index_shard(Root(str(folder)), name).table.num_rows <= 3
