"""What a data set holds, found out once: every shard indexed, its faults counted, all digested.

::

    manifest.json      what it comes to; written last
    manifest.parquet   a row of ``SHARDS`` for each shard, by path
    rows/              for each shard a parquet of ``table.SCHEMA``, named for the shard, its stamp
                       and what it was annotated with; its footer repeats the row of ``SHARDS``

A build that is killed leaves rows files behind, which the next build finds. A shard is indexed
again only if it, or what its labels and captions come from, has changed, or if it was unreadable.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from shlex import quote
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raystudy.shards.atomic import TEMPORARY, alone, remove, write, write_parquet
from raystudy.shards.root import MANIFEST_FOLDER, Root
from raystudy.shards.table import MAX_NAMED, SCHEMA, Fault
from raystudy.shards.workers import FOOTER, Indexable, Row, Task, digest, index

log = logging.getLogger(__name__)

FORMAT = 1
"""Of the files here, and of what indexing makes of a shard; raise it when either changes."""
SHARDS = pa.schema(
    {
        "shard": pa.string(),
        "stamp": pa.string(),
        "num_examples": pa.int64(),
        "image_bytes": pa.int64(),
        "first_offset": pa.int64(),
        "last_offset": pa.int64(),
        "ids_hash": pa.string(),
        "content": pa.string(),
        "rows": pa.string(),
        "faults": pa.list_(pa.struct({"reason": pa.string(), "count": pa.int64()})),
        "named": pa.list_(pa.struct({"reason": pa.string(), "where": pa.list_(pa.string())})),
    }
)
"""``shard`` is a path below the data set's root, ``rows`` one below the manifest. The offsets are
the least and the greatest, null in a shard without examples."""
_PERHAPS_PASSING = (Fault.UNREADABLE_SHARD, Fault.UNREADABLE)


@dataclass(frozen=True)
class Plain:
    """Tars or contexts that say everything themselves, and ``classnames.txt``: what a ``Rendered``
    writes."""

    path: str

    def shards(self, root: Root) -> Sequence[str]:
        return [*root.glob("*.tar"), *root.glob("*.npy")]

    def metadata(self, root: Root) -> None:
        return None

    def annotate(self, rows: pa.Table, metadata: None) -> pa.Table:
        return rows

    def class_names(self, root: Root) -> tuple[str, ...]:
        return tuple((root.read("classnames.txt") or b"").decode().splitlines())


def build(
    source: Indexable,
    out: str | None = None,
    *,
    workers: int = 1,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Manifest:
    """The manifest of ``source`` in ``out`` (by default ``source.manifest_path``), up to date.

    ``advance(done, total)`` is told of shards, at first of those that need no work. What comes out
    does not depend on ``workers`` (processes), nor on what was there before. Raises
    FileNotFoundError if there are no shards, ValueError if ``out`` cannot be written or annotations
    are amiss, RuntimeError if another process is building it or a worker dies.
    """
    root, place = Root(source.path), Root(out or default_path(source))
    with alone(place):
        beside, class_names = _beside(source, root)
        about = {"source": type(source).__name__, "settings": _settings(source), "beside": beside}
        stamps = _stamps(source, root, place)
        if not stamps:
            raise FileNotFoundError(f"{root.url}: no shards of {type(source).__name__} there")
        salt = digest([FORMAT, about, class_names])
        tasks = [Task(s, stamp, _rows_name(s, stamp, salt)) for s, stamp in stamps.items()]
        rows = _kept(place, tasks)
        advance(len(rows), len(tasks))
        for row in index(source, place, [t for t in tasks if t.rows not in rows], workers):
            rows[row["rows"]] = row
            advance(len(rows), len(tasks))
        _publish(place, [rows[task.rows] for task in tasks], class_names, about)
    return Manifest.open(place.url)


def default_path(source: Indexable) -> str:
    """Where the manifest of a source lies, unless somebody says otherwise."""
    return getattr(source, "manifest_path", None) or f"{source.path.rstrip('/')}/{MANIFEST_FOLDER}"


def described(manifest_path: str) -> dict[str, Any]:
    """``manifest.json``: content, num_examples, num_shards, image_bytes, class_names, faults
    (reason → count), source (its class), and what the annotations came from.

    Raises FileNotFoundError if there is none yet, ValueError if it cannot be used.
    """
    place = Root(manifest_path)
    try:
        stamp = place.stamp("manifest.json")
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{place.url}: no manifest yet; {_remedy(place)}") from None
    return dict(_described(place.url, stamp))


def stale(source: Indexable, manifest_path: str | None = None) -> list[str]:
    """What has changed since the manifest was built, one line each; empty if it is up to date.

    Compares listings, reads no data. Raises FileNotFoundError if there is no manifest.
    """
    root, place = Root(source.path), Root(manifest_path or default_path(source))
    about = described(place.url)
    table = _read_parquet(place, "manifest.parquet", ["shard", "stamp"])
    before = dict(zip(table["shard"].to_pylist(), table["stamp"].to_pylist(), strict=True))
    now = _stamps(source, root, place)
    lines = [
        _listed("added", now.keys() - before.keys()),
        _listed("changed", {s for s in now if before.get(s, now[s]) != now[s]}),
        _listed("gone", before.keys() - now.keys()),
        _listed("changed", {p for p, s in about["beside"].items() if _stamp(root, p) != s}, "file"),
        *_differences(about["settings"], _settings(source)),
    ]
    return [line for line in lines if line]


@dataclass(frozen=True)
class Manifest:
    """A manifest as it was when opened. Picklable."""

    url: str
    about: Mapping[str, Any]
    """What ``described`` returns."""
    shards: pa.Table
    """Of ``SHARDS`` without ``named``, by path."""

    @classmethod
    def open(cls, manifest_path: str) -> Manifest:
        """Raises FileNotFoundError if there is none, ValueError if it cannot be used."""
        place = Root(manifest_path)
        about = described(place.url)
        columns = [name for name in SHARDS.names if name != "named"]
        shards = _read_parquet(place, "manifest.parquet", columns)
        # A build that was killed between its two files leaves them of different content.
        if (shards.schema.metadata or {}).get(b"content") != about["content"].encode():
            raise ValueError(f"{place.url}: a build of it was interrupted; {_remedy(place)}")
        return cls(place.url, about, shards.replace_schema_metadata())

    @property
    def content(self) -> str:
        """A digest of every image, id, label, caption and class name, wherever they lie."""
        return self.about["content"]

    @property
    def num_examples(self) -> int:
        return self.about["num_examples"]

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.about["class_names"])

    @property
    def faults(self) -> dict[str, int]:
        """How many examples were left out, by reason."""
        return dict(self.about["faults"])

    def rows(self, i: int) -> pa.Table:
        """The examples of the i-th shard, of ``table.SCHEMA``. Raises ValueError if their file is
        gone or damaged."""
        place, name = Root(self.url), self.shards["rows"][i].as_py()
        rows = _read_parquet(place, name, SCHEMA.names).replace_schema_metadata()
        if rows.num_rows != self.shards["num_examples"][i].as_py():
            raise ValueError(
                f"{place.full(name)}: not the rows of its shard; delete it and {_remedy(place)}"
            )
        return rows

    def named(self, limit: int = MAX_NAMED) -> dict[str, list[str]]:
        """Where the first ``limit`` faults of each reason lie."""
        first: dict[str, list[str]] = {reason: [] for reason in self.faults}
        with Root(self.url).open("manifest.parquet") as file:
            for batch in pq.ParquetFile(file).iter_batches(1024, columns=["named"]):
                for fault in batch["named"].flatten().to_pylist():
                    where = first[fault["reason"]]
                    where += fault["where"][: limit - len(where)]
                if all(len(where) >= min(limit, self.faults[r]) for r, where in first.items()):
                    break
        return first


def _beside(source: Indexable, root: Root) -> tuple[dict[str, str | None], tuple[str, ...]]:
    """The files that annotations come from with their stamps (None: looked for in vain), and the
    class names."""
    noting = _NotingRoot(root.url)
    source.metadata(noting)
    class_names = tuple(source.class_names(noting))
    stamps = {path: _stamp(root, path) for path in sorted(noting.noted - {""})}
    # A folder changes with the shards in it; the files in it that matter are noted themselves.
    return {p: s for p, s in stamps.items() if not (s or "").startswith("folder-")}, class_names


class _NotingRoot(Root):
    """Remembers what was asked for."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.noted: set[str] = set()

    def full(self, path: str) -> str:
        self.noted.add(path.rstrip("/"))
        return super().full(path)


def _settings(source: Indexable) -> dict[str, str]:
    """The class and fields of a source, as far as they may change what is indexed."""
    names = getattr(type(source), "model_fields", {}).keys()
    names -= {"path", "label", *getattr(source, "elsewhere", ()), *getattr(source, "unindexed", ())}
    fields = {name: repr(getattr(source, name)) for name in sorted(names)}
    about = {"class": type(source).__name__, "version": str(getattr(source, "VERSION", 1))}
    return about | fields


def _differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    names = ["class"] if before["class"] != now["class"] else sorted(before.keys() | now.keys())
    pairs = ((name, before.get(name), now.get(name)) for name in names)
    return [f"made for {name} {old}, not {new}" for name, old, new in pairs if old != new]


def _stamps(source: Indexable, root: Root, place: Root) -> dict[str, str]:
    """Every shard with its stamp, sorted by path; without what vanishes meanwhile."""
    ours = place.url.removeprefix(f"{root.url}/") + "/"  # a manifest's own files are no shards
    shards = sorted({shard for shard in source.shards(root) if not shard.startswith(ours)})
    # The table beside a tar says things of its examples, so its changes are the tar's.
    tables = set(root.glob("**/*.parquet")) if any(s.endswith(".tar") for s in shards) else set()

    def stamp(shard: str) -> str | None:
        own, table = _stamp(root, shard), f"{shard.removesuffix('.tar')}.parquet"
        return f"{own} {_stamp(root, table)}" if own and table in tables else own

    if root.is_local:
        stamps = [stamp(shard) for shard in shards]
    else:  # where listings tell names alone, each is a request
        with ThreadPoolExecutor(32) as pool:
            stamps = list(pool.map(stamp, shards))
    return {s: found for s, found in zip(shards, stamps, strict=True) if found is not None}


def _stamp(root: Root, path: str) -> str | None:
    try:
        return root.stamp(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _rows_name(shard: str, stamp: str, salt: str) -> str:
    return f"rows/{digest(shard)}-{digest([stamp, salt])}.parquet"


def _kept(place: Root, tasks: Iterable[Task]) -> dict[str, Row]:
    """What need not be indexed again, by the name of the rows file."""
    there = set(place.files("rows"))
    try:
        table = _read_parquet(place, "manifest.parquet", SHARDS.names)
        before = {row["rows"]: row for row in table.to_pylist()}
    except ValueError:
        before = {}
    kept = {}
    for task in tasks:
        if task.rows in there:
            row = before.get(task.rows) or _footer(place, task.rows)
            # A store that was down is not held against the shard for ever.
            if row and all(f["reason"] not in _PERHAPS_PASSING for f in row["faults"]):
                kept[task.rows] = row
    return kept


def _footer(place: Root, name: str) -> Row | None:
    try:
        with place.open(name) as file:
            return json.loads(pq.read_schema(file).metadata[FOOTER])
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.info("%s: %s; indexed again", place.full(name), error)
        return None


def _publish(
    place: Root, rows: Sequence[Row], class_names: Sequence[str], about: Mapping[str, Any]
) -> None:
    content = digest([[[row["shard"], row["content"]] for row in rows], class_names])
    faults: Counter[str] = Counter()
    for row in rows:
        faults.update({fault["reason"]: fault["count"] for fault in row["faults"]})
    summary = {
        "format": FORMAT,
        "content": content,
        "num_examples": sum(row["num_examples"] for row in rows),
        "num_shards": len(rows),
        "image_bytes": sum(row["image_bytes"] for row in rows),
        "faults": dict(sorted(faults.items())),
        **about,
        "class_names": class_names,
    }
    table = pa.Table.from_pylist(list(rows), SHARDS).replace_schema_metadata({"content": content})
    write_parquet(place, "manifest.parquet", table)
    used = {row["rows"] for row in rows}
    for name in (*place.files("rows"), *place.files()):
        if name.endswith(TEMPORARY) or (name.startswith("rows/") and name not in used):
            remove(place, name)
    write(place, "manifest.json", json.dumps(summary, indent=1, ensure_ascii=False).encode())


@lru_cache(maxsize=64)
def _described(url: str, stamp: str) -> dict[str, Any]:
    place = Root(url)
    try:
        about = json.loads(place.read("manifest.json") or b"")
        if about["format"] != FORMAT:
            raise ValueError(f"format {about['format']}, not {FORMAT}")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{place.full('manifest.json')}: {error}; {_remedy(place)}") from error
    return about


def _read_parquet(place: Root, name: str, columns: list[str]) -> pa.Table:
    try:
        with place.open(name) as file:
            return pq.ParquetFile(file).read(columns)
    except (OSError, pa.ArrowException) as error:
        first = "delete it and " if place.exists(name) else ""
        raise ValueError(f"{place.full(name)}: {error}; {first}{_remedy(place)}") from error


def _remedy(place: Root) -> str:
    data, found, name = place.url.rpartition(f"/{MANIFEST_FOLDER}")
    if not found:
        return f"make it with: raystudy data index PATH --index {quote(place.url)}"
    source = name.strip("/").partition(".")[0]
    option = f" --source {source}" if source and source != "webdataset" else ""
    return f"make it with: raystudy data index {quote(data)}{option}"


def _listed(change: str, paths: Collection[str], noun: str = "shard") -> str:
    """Such as "3 shards added", with their names where they are few."""
    if not paths:
        return ""
    names = ": " + ", ".join(sorted(paths)) if len(paths) <= 3 else ""
    return f"{len(paths):,} {noun}{'s' if len(paths) > 1 else ''} {change}{names}"
