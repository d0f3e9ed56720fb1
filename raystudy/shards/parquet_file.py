"""A parquet file of unknown origin, read a few rows at a time.

pyarrow believes much of what a footer promises: offsets, sizes and numbers of rows are checked
here before anything is read by them, and what comes out is weighed. A page is unpacked whole; the
format ends it at 2 GiB.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raystudy.shards.bytes import Bytes

MAX_FOOTER_BYTES = 64 << 20
MAX_EXPANSION = 100
"""How many times its own size a file may unpack to, beyond ``FREE_BYTES``."""
FREE_BYTES = 1 << 30
FREE_ROWS = 1 << 16
"""A file may hold one row a byte; a smaller one this many, which compression can achieve."""

MAX_WHOLE_BYTES = 1 << 30
"""Of a file whose column chunks may be read whole."""

Columns = Mapping[str, str]
"""Role → column, with a dot before the field of a struct."""


class ParquetFile:
    """``schema``, ``group_sizes`` (rows of each row group), and the rows themselves."""

    def __init__(self, file: Bytes) -> None:
        """Raises ValueError unless the footer could be true."""
        tail = file.at(max(0, file.size - 8), 8)
        footer_bytes = int.from_bytes(tail[:4], "little")
        if tail[4:] != b"PAR1" or not 0 < footer_bytes <= min(MAX_FOOTER_BYTES, file.size - 12):
            raise ValueError("it does not end in a parquet footer")
        try:
            # With a buffer, column chunks are read as they are needed and not whole, but a damaged
            # page gets the memory it asks for. Metadata of single columns must stay unread:
            # pyarrow 25 ends the process where they are malformed.
            self._file = pq.ParquetFile(
                _Clamped(file),
                pre_buffer=False,
                buffer_size=(1 << 20) * (file.size > MAX_WHOLE_BYTES),
                thrift_string_size_limit=MAX_FOOTER_BYTES,
                thrift_container_size_limit=1 << 20,
            )
            self.schema: pa.Schema = self._file.schema_arrow
            about = self._file.metadata
            groups = [about.row_group(i) for i in range(about.num_row_groups)]
            self.group_sizes = [group.num_rows for group in groups]
        except Exception as error:  # pyarrow raises nearly anything on hostile files
            raise ValueError(f"its footer cannot be read: {error}") from error
        total = sum(self.group_sizes)
        if min(self.group_sizes, default=0) < 0 or total > max(FREE_ROWS, file.size):
            raise ValueError(f"its footer promises {total:,} rows in {file.size:,} bytes")
        self._bytes_left = FREE_BYTES + MAX_EXPANSION * file.size

    def rows(self, columns: Columns, group: int, at_once: int) -> Iterator[dict[str, Any]]:
        """The rows of a row group as role → value, text as bytes. Raises ValueError where it is
        damaged, after the rows before."""
        rows_left = self.group_sizes[group]
        leaves = list(columns.values())
        try:
            for batch in self._file.iter_batches(at_once, [group], leaves, use_threads=False):
                rows_left -= batch.num_rows
                self._bytes_left -= batch.nbytes
                if rows_left < 0 or self._bytes_left < 0:
                    raise ValueError("more rows or bytes than a file of its size can hold")
                lists = [_values(batch, leaf) for leaf in leaves]
                for row in zip(*lists, strict=True):
                    yield dict(zip(columns, row, strict=True))
        except Exception as error:  # pyarrow raises nearly anything on hostile files
            raise ValueError(str(error)) from error
        if rows_left:
            raise ValueError("fewer rows than its footer promises")


class _Clamped(io.RawIOBase):
    """A file for pyarrow: ``RawIOBase.read`` would allocate whatever a damaged page asks for."""

    def __init__(self, file: Bytes) -> None:
        super().__init__()
        self._file = file
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._position = {0: 0, 1: self._position, 2: self._file.size}[whence] + offset
        return self._position

    def read(self, n: int = -1, /) -> bytes:
        data = self._file.at(self._position, self._file.size if n < 0 else n)
        self._position += len(data)
        return data


def kind_of(schema: pa.Schema, name: str) -> Any:
    """The type of a column's values; None unless there is just one column of that name."""
    at = schema.get_field_index(name)
    if at < 0:
        return None
    kind = schema.field(at).type
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _values(batch: pa.RecordBatch, leaf: str) -> list[Any]:
    name, _, field = leaf.partition(".")
    column = batch.column(batch.schema.get_field_index(name))
    if field:
        column = column.flatten()[column.type.get_field_index(field)]
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string(column.type):
        column = column.cast(pa.binary())  # nobody has checked that it is UTF-8
    elif pa.types.is_large_string(column.type):
        column = column.cast(pa.large_binary())
    return column.to_pylist()
