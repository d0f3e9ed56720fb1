import gzip
import io
import logging
import os
import tarfile
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from raystudy.shards.index import index_shard
from raystudy.shards.root import Root
from raystudy.shards.table import SCHEMA, Fault


def image(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (6, 4), (seed, 2, 7)).save(buffer, "PNG")
    return buffer.getvalue()


def tar_bytes(names: list[str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for n, name in enumerate(names):
            entry = tarfile.TarInfo(name)
            data = image(n)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def parquet_bytes() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"image": [image()], "key": ["in-parquet"]}), buffer)
    return buffer.getvalue()


SHARDS = {
    "a-tar": tar_bytes(["in-tar.png"]),
    "an-empty.tar": tar_bytes([]),
    "a-table": parquet_bytes(),
    "a-list": b"filepath\ttitle\nfolder/in-folder.png\tx\n",
    "folder/in-folder.png": image(),
}
IDS = {
    "a-tar": ["in-tar"],
    "an-empty.tar": [],
    "a-table": ["in-parquet"],
    "a-list": ["folder/in-folder"],
    "folder": ["folder/in-folder"],
}


@pytest.mark.parametrize("where", ["local", "remote"])
@pytest.mark.parametrize("path", IDS)
def test_the_content_tells_the_format(tmp_path: Path, path: str, where: str) -> None:
    for name, data in SHARDS.items():
        if where == "remote":
            fsspec.filesystem("memory").pipe(f"/index-test/{name}", data)
        else:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(data)
    found = index_shard(Root("memory://index-test" if where == "remote" else str(tmp_path)), path)
    assert found.table["id"].to_pylist() == IDS[path]
    assert not found.faults


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PAR1",
        parquet_bytes()[:-1],
        gzip.compress(tar_bytes(["x.png"])),
        b"\0" + tar_bytes(["x.png"])[1:],
        tar_bytes(["x.png"])[:300],
        image(),
        b"plain text",
    ],
)
def test_an_unreadable_shard_is_counted_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (tmp_path / "0.tar").write_bytes(content)
    with caplog.at_level(logging.WARNING):
        found = index_shard(Root(str(tmp_path)), "0.tar")
    assert found.table.schema == SCHEMA
    assert found.table.num_rows == 0
    assert found.named == {Fault.UNREADABLE_SHARD: ["0.tar"]}
    assert caplog.messages
    assert caplog.messages[0].startswith("0.tar is left out: ")


def test_what_is_not_there_or_no_file_is_unreadable_too(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tar")
    for path in ("gone.tar", "pipe.tar", "../outside.tar", "/etc/passwd"):
        assert index_shard(Root(str(tmp_path)), path).faults == {Fault.UNREADABLE_SHARD: 1}
