"""Contexts of tokens in ``.npy`` files: a table (N, T + 1) of little-endian uint16.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
"""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
from numpy.lib import format as npy
from xxhash import xxh3_64_intdigest

from raystudy.shards.root import Root
from raystudy.shards.table import SCHEMA, Fault, Indexed

MAGIC = b"\x93NUMPY"
MAX_HEADER_BYTES = 1 << 10
MAX_CONTEXT_BYTES = 1 << 24
_AT_ONCE_BYTES = 4 << 20


def index(root: Root, path: str) -> Indexed:
    """One example a row. Its id is the file's stem and the number of the row, ``width`` how many
    tokens it has. Rows behind the end of a file that was cut off are left out. Raises ValueError
    for an array of any other kind, OSError."""
    stem = path.rpartition(".")[0]
    with root.open(path) as file:
        num_rows, length, start = _header(file.at(0, MAX_HEADER_BYTES), path)
        size = 2 * length
        there = min(num_rows, (file.size - start) // size)
        step = max(1, _AT_ONCE_BYTES // size)
        digests = np.empty(there, np.uint64)
        for first in range(0, there, step):
            last = min(first + step, there)
            data = memoryview(file.at(start + first * size, (last - first) * size))
            digests[first:last] = [
                xxh3_64_intdigest(data[i : i + size]) for i in range(0, len(data), size)
            ]
    indexed = Indexed(_table(stem, path, there, length, start, digests))
    if there < num_rows:
        indexed.lose(Fault.UNREADABLE, f"{path} rows {there} to {num_rows - 1}")
    return indexed


def _header(data: bytes, path: str) -> tuple[int, int, int]:
    """Rows, tokens of each, and where the first begins. No object is ever unpickled."""
    file = io.BytesIO(data)
    try:
        if npy.read_magic(file) != (1, 0):
            raise ValueError("a version of npy that is never written for contexts")
        shape, by_column, dtype = npy.read_array_header_1_0(file, max_header_size=MAX_HEADER_BYTES)
    except Exception as error:  # its parser raises nearly anything on hostile headers
        raise ValueError(f"{path}: {error}") from error
    if len(shape) != 2 or by_column or dtype != np.dtype("<u2"):
        raise ValueError(f"{path}: no table of little-endian uint16 but {dtype} of shape {shape}")
    if not 0 < 2 * shape[1] <= MAX_CONTEXT_BYTES or shape[0] < 0:
        raise ValueError(f"{path}: contexts of {shape[1]:,} tokens")
    return shape[0], shape[1], file.tell()


def _table(
    stem: str, path: str, num: int, length: int, start: int, digests: np.ndarray
) -> pa.Table:
    columns = {
        "id": [f"{stem}-{row:07d}" for row in range(num)],
        "path": [path] * num,
        "offset": start + 2 * length * np.arange(num),
        "size": np.full(num, 2 * length),
        "digest": digests,
        "width": np.full(num, length, np.int32),
        "height": np.ones(num, np.int32),
        "label": np.full(num, -1),
        "caption": [""] * num,
    }
    arrays = [
        pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(num, f.type)
        for f in SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)
