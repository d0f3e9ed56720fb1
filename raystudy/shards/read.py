"""The bytes of examples by their place, in any order, from local disks and object stores.

What cannot be read is a ``Fault`` in its place: one bad example never costs another.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import accumulate
from typing import Generic, NamedTuple, TypeVar

import fsspec

from raystudy.shards.bytes import LocalBytes, RemoteBytes, read_range
from raystudy.shards.parquet import image_column
from raystudy.shards.parquet_file import FREE_BYTES, ParquetFile
from raystudy.shards.retried import retried
from raystudy.shards.root import local_path
from raystudy.shards.table import Fault

log = logging.getLogger(__name__)
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Place = tuple[str, int, int]
"""Absolute path or URL of a file, offset and size in bytes; the offset is a row in a parquet."""

MAX_OPEN_FILES = 256
MAX_OPEN_TABLES = 32
MAX_CACHED_BYTES = 256 << 20
"""Of the images of row groups."""
MAX_GAP_BYTES = 64 << 10
"""Two ranges of a remote file nearer than this are fetched by one request, …"""
MAX_SPAN_BYTES = 8 << 20
"""… unless it would be longer than this."""
MAX_REQUESTS = 32
"""Under way at once."""
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


class Reader:
    """Opens files when they are asked for and keeps the recently used ones. For one thread;
    picklable, which leaves behind what is open."""

    def __init__(self) -> None:
        self._files = _Recent[str, LocalBytes](MAX_OPEN_FILES, dropped=LocalBytes.close)
        self._tables = _Recent[str, _Table](MAX_OPEN_TABLES, dropped=_Table.close)
        self._groups = _Recent[tuple[str, int], list[bytes | None]](MAX_CACHED_BYTES)
        self._is_table: dict[str, bool] = {}
        self._pool: ThreadPoolExecutor | None = None

    def __reduce__(self) -> tuple[type[Reader], tuple[()]]:
        return Reader, ()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open; the next ``read`` opens it again."""
        for kept in (self._files, self._tables, self._groups):
            kept.clear()
        if self._pool:
            self._pool.shutdown()
        self._pool = None

    def read(self, places: Sequence[Place]) -> list[bytes | Fault]:
        """What lies at each place, in their order; ``Fault.UNREADABLE`` where it cannot be had."""
        wanted: defaultdict[str, list[_Wanted]] = defaultdict(list)
        for row, (url, offset, size) in enumerate(places):
            if offset >= 0 and size >= 0:
                wanted[url].append(_Wanted(row, offset, size))
        found: dict[int, bytes] = {}
        self._find_tables(list(wanted))
        remote: list[_Span] = []
        for url, items in wanted.items():
            is_table = self._is_table.get(url, False if _is_image(url) else None)
            if is_table:
                self._read_table(url, items, found)
            elif is_table is not None and local_path(url):
                self._read_local(url, items, found)
            elif is_table is not None:
                remote += _spans(url, items)
        failed = self._read_remote(remote, found)
        # The neighbours of a bad range are read without it.
        alone = [_Span(s.url, [item]) for s in failed if len(s.items) > 1 for item in s.items]
        self._read_remote(alone, found)
        return [found.get(row, Fault.UNREADABLE) for row in range(len(places))]

    def _find_tables(self, urls: Sequence[str]) -> None:
        """Learn which files are parquet from their first bytes; nothing of those that fail."""
        unknown = [u for u in urls if u not in self._is_table and not _is_image(u)]
        remote = [u for u in unknown if not local_path(u)]
        firsts = [(u, _or_log(partial(self._local, u, 0, 4), u)) for u in unknown if local_path(u)]
        if remote:
            heads = self._threads().map(lambda u: _or_log(partial(_head, u), u), remote)
            firsts += zip(remote, heads, strict=True)
        self._is_table |= {url: first == b"PAR1" for url, first in firsts if first is not None}

    def _read_local(self, url: str, items: list[_Wanted], found: dict[int, bytes]) -> None:
        for row, offset, size in sorted(items, key=lambda item: item.offset):  # as the disk has it
            data = _or_log(partial(self._local, url, offset, size), f"{url} at {offset}")
            if data is not None and len(data) == size:  # else the file has been cut since
                found[row] = data

    def _local(self, url: str, offset: int, size: int) -> bytes:
        if (file := self._files.get(url)) is None:
            file = LocalBytes(local_path(url) or url)
            self._files.put(url, file)
        return file.at(offset, size)

    def _read_remote(self, spans: list[_Span], found: dict[int, bytes]) -> list[_Span]:
        """Those that could not be read."""
        if not spans:
            return []
        failed = []
        for span, data in zip(spans, self._threads().map(_fetch, spans), strict=True):
            if data is None:
                failed.append(span)
                continue
            for row, offset, size in span.items:
                found[row] = data[offset - span.start : offset - span.start + size]
        return failed

    def _read_table(self, url: str, items: list[_Wanted], found: dict[int, bytes]) -> None:
        if (table := self._tables.get(url)) is None:
            if (table := _or_log(lambda: _Table(url), url)) is None:
                return
            self._tables.put(url, table)
        for group, inside in table.by_group(items).items():
            images = self._images(table, url, group, inside.keys())
            for within, wanted in inside.items():
                for row, _, size in wanted:
                    if (data := images.get(within)) is not None and len(data) == size:
                        found[row] = data

    def _images(
        self, table: _Table, url: str, group: int, wanted: Collection[int]
    ) -> dict[int, bytes | None]:
        """Row within the group → image; without those behind damage."""
        kept = self._groups.get((url, group))
        if kept is not None:
            return {i: kept[i] for i in wanted if i < len(kept)}
        kept, total, last = [], 0, max(wanted)
        picked: dict[int, bytes | None] = {}
        try:
            for i, image in enumerate(table.images(group)):
                if i in wanted:
                    picked[i] = image
                total += len(image or b"")
                if total <= MAX_CACHED_BYTES:
                    kept.append(image)
                elif i >= last:
                    break
        except ValueError as error:
            log.info("%s, row group %d: %s", url, group, error)
        else:
            if total <= MAX_CACHED_BYTES:
                self._groups.put((url, group), kept, total)
        return picked

    def _threads(self) -> ThreadPoolExecutor:
        self._pool = self._pool or ThreadPoolExecutor(MAX_REQUESTS, "raystudy-read")
        return self._pool


class _Wanted(NamedTuple):
    row: int
    offset: int
    size: int


class _Span(NamedTuple):
    """Ranges of a remote file, by offset, that one request fetches."""

    url: str
    items: list[_Wanted]

    @property
    def start(self) -> int:
        return self.items[0].offset

    @property
    def end(self) -> int:
        return max(item.offset + item.size for item in self.items)


def _spans(url: str, items: list[_Wanted]) -> list[_Span]:
    spans: list[_Span] = []
    end = 0
    for item in sorted(items, key=lambda item: item.offset):
        after = max(end, item.offset + item.size)
        near = bool(spans) and item.offset - end <= MAX_GAP_BYTES
        if near and after - spans[-1].start <= MAX_SPAN_BYTES:
            spans[-1].items.append(item)
            end = after
        else:
            spans.append(_Span(url, [item]))
            end = item.offset + item.size
    return spans


class _Table:
    """The image column of a parquet file, by row."""

    def __init__(self, url: str) -> None:
        """Raises OSError or ValueError."""
        self._file = LocalBytes(path) if (path := local_path(url)) else _open_remote(url)
        self._parquet = ParquetFile(self._file)
        leaf = image_column(self._parquet.schema)
        if leaf is None:
            raise ValueError("none of its columns holds images")
        self._columns = {"image": leaf}
        self._sizes = self._parquet.group_sizes
        self._ends = list(accumulate(self._sizes))
        self._bytes_read = 0

    def close(self) -> None:
        self._file.close()

    def by_group(self, items: Sequence[_Wanted]) -> dict[int, dict[int, list[_Wanted]]]:
        """Row group → row within it → who asks for it; without rows behind the end."""
        groups: dict[int, dict[int, list[_Wanted]]] = {}
        for item in items:
            group = bisect_right(self._ends, item.offset)
            if group < len(self._ends):
                within = item.offset - self._ends[group] + self._sizes[group]
                groups.setdefault(group, {}).setdefault(within, []).append(item)
        return groups

    def images(self, group: int) -> Iterator[bytes | None]:
        """Of a row group. Raises ValueError where it is damaged, after the rows before."""
        if self._bytes_read > FREE_BYTES // 2:  # it allows so much of each opening
            self._parquet, self._bytes_read = ParquetFile(self._file), 0
        for values in self._parquet.rows(self._columns, group, at_once=32):
            self._bytes_read += len(values["image"] or b"")
            yield values["image"]


class _Recent(Generic[K, V]):
    """The values used last, up to a total weight; what falls out is ``dropped``."""

    def __init__(self, limit: int, dropped: Callable[[V], None] = lambda _: None) -> None:
        self._limit, self._dropped = limit, dropped
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._total = 0

    def get(self, key: K) -> V | None:
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key][0]

    def put(self, key: K, value: V, weight: int = 1) -> None:
        self._values[key] = value, weight
        self._total += weight
        while self._total > self._limit:
            self._drop()

    def clear(self) -> None:
        while self._values:
            self._drop()

    def _drop(self) -> None:
        _, (value, weight) = self._values.popitem(last=False)
        self._total -= weight
        self._dropped(value)


def _fetch(span: _Span) -> bytes | None:
    def read() -> bytes:
        fs, path = fsspec.core.url_to_fs(span.url, use_listings_cache=False)
        return read_range(fs, path, span.url, span.start, span.end)

    return _or_log(read, span.url) if span.end > span.start else b""


def _head(url: str) -> bytes:
    """The first bytes, enough to tell a parquet file; fewer of a file that is shorter."""
    fs, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
    return retried(lambda: fs.cat_file(path, start=0, end=4), url)[:4]


def _open_remote(url: str) -> RemoteBytes:
    fs, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
    return RemoteBytes(url, fs, path, retried(lambda: fs.info(path), url)["size"])


def _is_image(url: str) -> bool:
    """By its name, which saves a request for each image of a remote folder."""
    return url.lower().endswith(IMAGE_SUFFIXES)


def _or_log(call: Callable[[], V], what: str) -> V | None:
    try:
        return call()
    except Exception as error:  # clients of stores and pyarrow raise nearly anything
        log.info("%s: %s", what, error or type(error).__name__)
        return None
