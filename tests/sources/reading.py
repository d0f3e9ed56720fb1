"""What the manifest does with a source, in a few lines: index each shard, annotate it."""

from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa

from raystudy.kinds import OnDisk
from raystudy.shards.index import index_shard
from raystudy.shards.root import Root
from raystudy.shards.table import SCHEMA


def rows_of(source: OnDisk) -> dict[str, dict[str, Any]]:
    """id → row, of every shard; an id must not come twice."""
    root = Root(source.path)
    metadata = source.metadata(root)
    tables = []
    for path in source.shards(root):
        table = source.annotate(index_shard(root, path).table, metadata)
        assert table.schema.equals(SCHEMA)
        tables.append(table)
    rows = pa.concat_tables(tables).to_pylist() if tables else []
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row for row in rows}


def bytes_of(folder: Path, row: dict[str, Any]) -> bytes:
    """Of an image that lies in a tar or a file of its own."""
    with (folder / row["path"]).open("rb") as file:
        file.seek(row["offset"])
        return file.read(row["size"])


def in_memory(folder: Path) -> str:
    """The URL of a copy of ``folder`` in fsspec's memory, which knows no folders of its own."""
    store, url = fsspec.filesystem("memory"), f"memory://{folder}"
    for file in folder.rglob("*"):
        if file.is_file():
            store.pipe_file(str(file), file.read_bytes())
    return url
