"""The order of a source's examples, of which every subset is a prefix, and few-shot samples.

An example's rank is a salted hash of its id, a shard's that of its path. The order is pure in
(ids, seed): it does not depend on the order in which examples arrive or on who reads them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from raystudy.distinct import Seen
from raystudy.kinds import Derived, OnDisk, Source, Stream
from raystudy.randomness import uniform
from raystudy.shards.table import SCHEMA

log = logging.getLogger(__name__)

Rows = NDArray[np.int64]

BLOCK = 1 << 16
"""Rows of a table where the order is not cut by shards."""


class Manifest(Protocol):
    """What is known of a source's shards (``raystudy.shards.manifest``)."""

    @property
    def shards(self) -> pa.Table:
        """One row a shard: ``shard``, its path, and ``num_examples``."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]: ...

    def rows(self, i: int) -> pa.Table:
        """The examples of shard ``i``, a table of ``SCHEMA``."""
        ...


Catalogue = Callable[[Source], Manifest]
"""Where the manifests of sources with shards of their own are found."""


def subset(
    source: Source, size: int, catalogue: Catalogue, seed: int
) -> tuple[pa.Table, tuple[str, ...]]:
    """The first ``size`` examples of the order of ``source``, and the names of its classes.

    The columns are contiguous, but for texts of more than 2 GiB. Raises ValueError if there are
    fewer examples.
    """
    stream = ordered(source, catalogue, seed)
    parts, have = [SCHEMA.empty_table()], 0
    while have < size:
        try:
            part = next(stream.tables)
        except StopIteration as end:
            raise ValueError(
                f"size {size:,} exceeds the {have:,} examples there are{_reason(source, end.value)}"
            ) from None
        parts.append(part.slice(0, size - have))
        have += parts[-1].num_rows
    return pa.concat_tables(parts).combine_chunks(), stream.class_names


def common_size(*sources: Source, catalogue: Catalogue, seed: int = 0) -> int:
    """The largest size that every one of ``sources`` can give: sources of unequal size are
    compared at this one. Raises ValueError if none is given."""
    if not sources:
        raise ValueError("common_size: give at least one source")
    size = None
    for source in sources:
        size = _count(ordered(source, catalogue, seed).tables, size)
    return size or 0


def ordered(source: Source, catalogue: Catalogue, seed: int) -> Stream:
    """Every example of ``source`` once, read no further than its tables are asked for.

    Of examples with equal ids the first in the order stays, the others are counted and logged.
    Where ``tables`` ends for another reason than that all was given, StopIteration says why.
    """
    if isinstance(source, Derived):
        return source.arrange([ordered(s, catalogue, seed) for s in source.inputs()], seed)
    manifest = catalogue(source)
    is_by_shard = isinstance(source, OnDisk) and source.sampled_by == "shard"
    tables = _shard_by_shard if is_by_shard else _each_by_itself
    return Stream(tables(source, manifest, seed), manifest.class_names)


def few_shot(
    ids: Sequence[str],
    labels: NDArray[np.int64],
    shots: int | None,
    name: str,
    seed: int,
    *,
    at_most: bool = False,
) -> Rows:
    """Rows of ``shots`` examples of every class (all of them if None), nested across shots.

    ``name`` is the task's: draws of different tasks are independent. Raises ValueError if a class
    has fewer than ``shots`` examples, unless ``at_most`` so many are asked for.
    """
    # Equal hashes are settled by the id itself, so that the input order never matters.
    order = np.lexsort((np.asarray(ids), uniform(seed, f"few-shot/{name}", ids))).astype(np.int64)
    if shots is None:
        return order
    rows = []
    for label in np.unique(labels):
        of_class = order[labels[order] == label]
        if len(of_class) < shots and not at_most:
            raise ValueError(f"{name}: class {label} has {len(of_class)} examples, not {shots}")
        rows.append(of_class[:shots])
    return np.concatenate(rows)


# Texts of many shards together may exceed what the offsets of ``string`` reach (2 GiB).
_WIDE = pa.schema([f.with_type(pa.large_string()) if f.type == pa.string() else f for f in SCHEMA])


def _each_by_itself(source: Source, manifest: Manifest, seed: int) -> Iterator[pa.Table]:
    numbers = range(manifest.shards.num_rows)
    parts = [_WIDE.empty_table(), *(manifest.rows(i).cast(_WIDE) for i in numbers)]
    rows = pa.concat_tables(parts).combine_chunks()
    del parts
    order = _by_rank(rows, seed)
    _log_repeated(source, rows.num_rows - len(order))
    for first in range(0, len(order), BLOCK):
        yield rows.take(pa.array(order[first : first + BLOCK])).cast(SCHEMA)


def _shard_by_shard(source: Source, manifest: Manifest, seed: int) -> Iterator[pa.Table]:
    names = manifest.shards["shard"].to_pylist()
    sizes = manifest.shards["num_examples"].to_pylist()
    ranks = uniform(seed, "subset/shards", names).tolist()
    seen, repeated = Seen(), 0
    try:
        for *_, i, size in sorted(zip(ranks, names, range(len(names)), sizes, strict=True)):
            if not size:
                continue
            rows = manifest.rows(i)
            kept = rows.take(pa.array(_by_rank(rows, seed)))
            hashes = [xxh3_64_intdigest(id.encode()) for id in kept["id"].to_pylist()]
            kept = kept.filter(pa.array(seen.first(np.array(hashes, dtype=np.uint64))))
            repeated += rows.num_rows - kept.num_rows
            yield kept
    finally:  # also when nobody asks for more
        _log_repeated(source, repeated)


def _by_rank(rows: pa.Table, seed: int) -> Rows:
    """Rows by (rank, id, path, offset), of those with the same id the first. Shape (≤ N,)."""
    ids = rows["id"]
    ranks = [
        uniform(seed, "subset", ids.slice(first, BLOCK).to_pylist())
        for first in range(0, len(ids), BLOCK)
    ]
    rank = np.concatenate([np.empty(0), *ranks])
    order = np.argsort(rank).astype(np.int64)
    same = np.flatnonzero(rank[order[1:]] == rank[order[:-1]])
    if not len(same):
        return order
    # Equal ranks are nearly always repeated ids, and few: only they are settled in Python.
    tied = np.union1d(same, same + 1)
    texts = rows.select(["id", "path", "offset"]).take(pa.array(order[tied])).to_pydict()
    entries = sorted(zip(rank[order[tied]].tolist(), *texts.values(), order[tied], strict=True))
    order[tied] = [entry[-1] for entry in entries]
    repeated = [before[:2] == entry[:2] for before, entry in pairwise(entries)]
    return np.delete(order, tied[1:][repeated])


def _count(tables: Iterator[pa.Table], at_most: int | None) -> int:
    count = 0
    for table in tables:
        count += table.num_rows
        if at_most is not None and count >= at_most:
            return at_most
    return count


def _reason(source: Source, why: str | None) -> str:
    if why:
        return f": {why}"
    return f" once '{source.name}' has filtered its source" if source.inputs() else ""


def _log_repeated(source: Source, count: int) -> None:
    if count:
        log.warning(
            "source '%s': left out %d examples whose id was there before", source.name, count
        )
