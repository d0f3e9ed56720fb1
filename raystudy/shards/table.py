"""What is known of each example before its pixels are read: one table, whatever the format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pyarrow as pa

SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "path": pa.string(),
        "offset": pa.int64(),
        "size": pa.int64(),
        "digest": pa.uint64(),
        "width": pa.int32(),
        "height": pa.int32(),
        "label": pa.int64(),
        "caption": pa.string(),
        "similarity": pa.float32(),
        "aesthetic": pa.float32(),
        "punsafe": pa.float32(),
        "pwatermark": pa.float32(),
        "language": pa.string(),
    }
)
"""``path`` is the file below the source's root that holds the image, ``offset`` and ``size`` its
bytes in there (``offset`` is the row where the file is parquet), ``digest`` the XXH3 of those
bytes, ``width`` and ``height`` in pixels as the image's header says; ``label`` is −1 and
``caption`` empty where there is none. The last five are LAION's metadata, null where unknown."""
METADATA = ("similarity", "aesthetic", "punsafe", "pwatermark", "language")


class Fault(StrEnum):
    """Why an example, or the rest of a shard, is left out. The values are what people read."""

    UNREADABLE_SHARD = "a shard that cannot be read"
    CUT_TAR = "the end of a tar that is cut off or damaged"
    CUT_EXAMPLE = "the example in which a tar ends"
    NO_IMAGE = "an example without an image"
    EMPTY_IMAGE = "an image of no bytes"
    LARGE_FILE = "an image file that is too large"
    NOT_AN_IMAGE = "not a JPEG, PNG or WebP image"
    TOO_MANY_PIXELS = "an image of too many pixels"
    BAD_IMAGE = "an image that cannot be decoded"
    BAD_LABEL = "an unreadable label"
    UNKNOWN_LABEL = "a label without a class name"
    BAD_TEXT = "a text that is too large or malformed"
    REPEATED_ID = "an id that was there before"
    UNREADABLE = "bytes that could not be read"
    OTHER_CONTEXT = "a context of another length than the network's"
    UNKNOWN_TOKEN = "a token outside the network's vocabulary"


MAX_NAMED = 20
"""Faulty examples that are kept by name, of each shard and reason; the rest is only counted."""
MAX_WHERE = 300
"""Characters of such a name that are kept: they come from untrusted files."""


@dataclass
class Indexed:
    """One shard: the examples that can be used, and how many cannot, by reason."""

    table: pa.Table
    faults: Counter[Fault] = field(default_factory=Counter)
    named: dict[Fault, list[str]] = field(default_factory=dict)
    """Where the first ``MAX_NAMED`` of each reason lie: "00012.tar/000120034"."""

    def lose(self, fault: Fault, where: str) -> None:
        self.faults[fault] += 1
        named = self.named.setdefault(fault, [])
        if len(named) < MAX_NAMED:
            named.append(where[:MAX_WHERE])


def replaced(rows: pa.Table, column: str, values: Iterable[Any]) -> pa.Table:
    """``rows`` with other ``values`` (N,) in one column."""
    field = SCHEMA.field(column)
    if not isinstance(values, pa.Array | pa.ChunkedArray):
        values = pa.array(values, field.type)
    return rows.set_column(rows.schema.get_field_index(column), field, values)


def table_of(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """A table of ``SCHEMA`` from rows that may leave out what they do not know."""
    blank = {"label": -1, "caption": ""}
    return pa.Table.from_pylist([blank | dict(row) for row in rows], schema=SCHEMA)
