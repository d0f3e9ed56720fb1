"""Shards to rows files, one after the other or in several processes."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from multiprocessing import connection, get_context, parent_process
from typing import Any, Protocol

import pyarrow as pa

from raystudy.shards.atomic import write_parquet
from raystudy.shards.index import index_shard
from raystudy.shards.root import Root
from raystudy.shards.table import METADATA, SCHEMA, Fault, Indexed

IDENTITY = ("id", "digest", "label", "caption", *METADATA)
"""The columns that make up the content of a shard: what examples are, not where they lie."""
FOOTER = b"raystudy"
"""In a rows file's metadata: its row of ``manifest.SHARDS`` as JSON."""
_NEVER_NULL = ("id", "path", "offset", "size", "digest", "label", "caption")

Row = dict[str, Any]
"""Of ``manifest.SHARDS``."""


class Indexable(Protocol):
    """What a manifest is built from; every ``kinds.OnDisk`` is one (see there)."""

    @property
    def path(self) -> str: ...
    def shards(self, root: Root) -> Sequence[str]: ...
    def metadata(self, root: Root) -> Any: ...
    def annotate(self, rows: pa.Table, metadata: Any) -> pa.Table: ...
    def class_names(self, root: Root) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Task:
    """One shard, and the rows file to make of it."""

    shard: str
    stamp: str
    rows: str


def index(source: Indexable, place: Root, tasks: Sequence[Task], workers: int) -> Iterator[Row]:
    """Write the rows files below ``place``; a row for each, as they are done.

    Raises ValueError if a shard cannot be annotated or ``place`` not be written, RuntimeError if a
    worker process dies.
    """
    workers = min(workers, len(tasks))
    if workers <= 1:
        yield from map(_Worker(source, place.url).index, tasks) if tasks else ()
        return
    # Pickled once, and that is the worker's key: a source has no hash before it has a manifest.
    pickled, todo, running = pickle.dumps((source, place.url)), iter(tasks), set()
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_end_with_parent)
    try:
        while True:
            more = islice(todo, 4 * workers - len(running))
            running |= {pool.submit(_index_here, pickled, task) for task in more}
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except BrokenProcessPool:
        raise RuntimeError(
            "a process that indexed shards died (out of memory?); the same command goes on where "
            "it stopped, and needs less memory with --workers 1"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def digest(value: Any, size: int = 10) -> str:
    """The hash of anything JSON can write, in 2·``size`` hexadecimal digits."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()


class _Worker:
    """Holds what all shards are annotated with, read once."""

    def __init__(self, source: Indexable, place_url: str) -> None:
        self._source, self._place, self._root = source, Root(place_url), Root(source.path)
        self._metadata = source.metadata(self._root)
        self._num_classes = len(source.class_names(self._root))

    def index(self, task: Task) -> Row:
        indexed = index_shard(self._root, task.shard)
        rows = indexed.table
        try:
            if rows.num_rows:
                rows = _of_schema(self._source.annotate(rows, self._metadata))
        except Exception as error:  # whatever it is, the shard must be named
            name = type(self._source).__name__
            raise ValueError(f"{name}.annotate, shard {task.shard}: {error!r}") from error
        if self._num_classes:
            rows = _with_known_labels(rows, self._num_classes, task.shard, indexed)
        row = _summary(task, rows, indexed)
        footer = {FOOTER: json.dumps(row)}
        write_parquet(self._place, task.rows, rows.replace_schema_metadata(footer))
        return row


def _of_schema(rows: pa.Table) -> pa.Table:
    rows = rows.select(SCHEMA.names).cast(SCHEMA)
    for name in _NEVER_NULL:
        if rows[name].null_count:
            raise ValueError(f"column {name} has nulls")
    return rows


def _with_known_labels(rows: pa.Table, num_classes: int, shard: str, indexed: Indexed) -> pa.Table:
    labels = rows["label"].to_numpy()
    known = (labels >= -1) & (labels < num_classes)
    for id in rows["id"].filter(pa.array(~known)).to_pylist():
        indexed.lose(Fault.UNKNOWN_LABEL, f"{shard}/{id}")
    return rows.filter(pa.array(known))


def _summary(task: Task, rows: pa.Table, indexed: Indexed) -> Row:
    offsets = rows["offset"].to_numpy()
    faults = sorted(indexed.faults.items())
    return {
        "shard": task.shard,
        "stamp": task.stamp,
        "num_examples": rows.num_rows,
        "image_bytes": int(rows["size"].to_numpy().sum()),
        "first_offset": int(offsets.min()) if len(offsets) else None,
        "last_offset": int(offsets.max()) if len(offsets) else None,
        "ids_hash": digest(rows["id"].to_pylist()),
        "content": digest([rows[name].to_pylist() for name in IDENTITY]),
        "rows": task.rows,
        "faults": [{"reason": fault.value, "count": count} for fault, count in faults],
        "named": [{"reason": fault.value, "where": indexed.named[fault]} for fault, _ in faults],
    }


def _index_here(pickled: bytes, task: Task) -> Row:
    return _worker(pickled).index(task)


@lru_cache(maxsize=1)
def _worker(pickled: bytes) -> _Worker:
    return _Worker(*pickle.loads(pickled))


def _end_with_parent() -> None:
    """Else the workers of a killed build would wait for work for ever."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
