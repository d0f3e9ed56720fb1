"""From what a shard says of one example to a row of the table, and the rows of one shard.

What tools write varies: LAION's columns have several names, numbers come as text, NaN or null.
Whatever cannot be understood is either unknown (metadata) or a reason to leave the example out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import pyarrow as pa
from xxhash import xxh3_64_intdigest

from raystudy.shards.probe import MAX_IMAGE_BYTES, probe
from raystudy.shards.table import SCHEMA, Fault, Indexed, table_of

MAX_TEXT_BYTES = 1 << 20
"""Of a caption, a class index, a JSON object, a line of a table."""
NAMES: Mapping[str, tuple[str, ...]] = {
    "similarity": ("similarity",),
    "aesthetic": ("aesthetic", "AESTHETIC_SCORE", "aesthetic_score"),
    "punsafe": ("punsafe",),
    "pwatermark": ("pwatermark",),
    "language": ("language", "LANGUAGE"),
}
"""What img2dataset and LAION call each column of ``table.METADATA``; the first that is known
counts."""
IMAGE_SUFFIXES = frozenset(("jpg", "jpeg", "png", "webp"))
_BATCH = 8192
_MAX_LANGUAGE = 64
_MAX_FLOAT32 = 3.4028234e38


class Unusable(Exception):  # noqa: N818
    """Why an example is left out."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


class Rows:
    """The rows of one shard as they come, in little memory, and what is left out."""

    def __init__(self) -> None:
        self._indexed = Indexed(SCHEMA.empty_table())
        self._tables: list[pa.Table] = []
        self._waiting: list[Mapping[str, Any]] = []
        self._seen: set[str] = set()

    def add(self, where: str, row: Mapping[str, Any]) -> None:
        """Unless its id was there before."""
        if row["id"] in self._seen:
            self.lose(Fault.REPEATED_ID, where)
            return
        self._seen.add(row["id"])
        self._waiting.append(row)
        if len(self._waiting) == _BATCH:
            self._flush()

    def lose(self, fault: Fault, where: str) -> None:
        self._indexed.lose(fault, where)

    @contextmanager
    def example(self, where: str) -> Iterator[None]:
        """Counts what its body raises as Unusable."""
        try:
            yield
        except Unusable as reason:
            self.lose(reason.fault, where)

    def indexed(self) -> Indexed:
        self._flush()
        if self._tables:
            self._indexed.table = pa.concat_tables(self._tables).combine_chunks()
        return self._indexed

    def _flush(self) -> None:
        if self._waiting:
            self._tables.append(table_of(self._waiting))
            self._waiting = []


def image_columns(data: bytes) -> dict[str, Any]:
    """``size``, ``digest``, ``width``, ``height``. Raises Unusable."""
    size = probe(data)
    if isinstance(size, Fault):
        raise Unusable(size)
    digest = xxh3_64_intdigest(data)
    return {"size": len(data), "digest": digest, "width": size[0], "height": size[1]}


def check_size(size: int) -> None:
    """Raises Unusable for an image file that is not worth reading."""
    if size > MAX_IMAGE_BYTES:
        raise Unusable(Fault.LARGE_FILE)


def label_of(value: Any) -> int:
    """A class index, −1 for None. Raises Unusable."""
    if value is None:
        return -1
    if isinstance(value, float) and value.is_integer():  # a column that once held nulls
        value = int(value)
    if type(value) is not int or not -1 <= value < 2**63:
        raise Unusable(Fault.BAD_LABEL)
    return value


def label_in(text: str) -> int:
    """The class index that a text consists of. Raises Unusable."""
    try:
        return label_of(int(text))
    except ValueError:
        raise Unusable(Fault.BAD_LABEL) from None


def text_of(data: bytes) -> str:
    """Without white space around it. Raises Unusable if over ``MAX_TEXT_BYTES``."""
    if len(data) > MAX_TEXT_BYTES:
        raise Unusable(Fault.BAD_TEXT)
    return data.decode("utf-8", "replace").strip()


class Fields(NamedTuple):
    """What a JSON object says of an example."""

    label: Any
    """As it came, for ``label_of``."""
    caption: str
    metadata: dict[str, Any]


def fields_of(data: bytes) -> Fields:
    """Raises Unusable for what is no JSON object, or over ``MAX_TEXT_BYTES``."""
    if len(data) > MAX_TEXT_BYTES:
        raise Unusable(Fault.BAD_TEXT)
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        raise Unusable(Fault.BAD_TEXT) from None
    if not isinstance(values, dict):
        raise Unusable(Fault.BAD_TEXT)
    caption = values.get("caption")
    text = encodable(caption).strip() if isinstance(caption, str) else ""
    return Fields(values.get("label"), text, metadata(values))


def metadata(values: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of ``table.METADATA`` that ``values`` knows, under whichever name."""
    known = {}
    for column, names in NAMES.items():
        read = _language if column == "language" else _number
        for name in names:
            if name in values and (value := read(values[name])) is not None:
                known[column] = value
                break
    return known


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and abs(number) <= _MAX_FLOAT32 else None


def _language(value: Any) -> str | None:
    if not isinstance(value, str) or not 0 < len(value.strip()) <= _MAX_LANGUAGE:
        return None
    return encodable(value).strip()


def encodable(text: str) -> str:
    """JSON can hold halves of surrogate pairs, UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()
