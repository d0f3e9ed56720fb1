"""Files that appear whole or not at all, on a local disk or in an object store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from raystudy.shards.retried import retried
from raystudy.shards.root import Root

TEMPORARY = ".tmp"
"""The suffix of what a killed process may leave behind."""


def write(place: Root, path: str, data: bytes) -> None:
    """Raises ValueError, naming the way out, if ``place`` cannot be written."""
    full = place.full(path)
    try:
        if not place.is_local:
            base = place.fs._strip_protocol(full)
            retried(lambda: place.fs.pipe_file(base, data), full)
            return
        os.makedirs(os.path.dirname(full), exist_ok=True)
        temporary = f"{full}.{os.getpid()}{TEMPORARY}"
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave the name without the bytes
        os.replace(temporary, full)
    except OSError as error:
        raise _not_writable(place, error) from error


def write_parquet(place: Root, path: str, table: pa.Table) -> None:
    """Raises ValueError, naming the way out, if ``place`` cannot be written."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write(place, path, sink.getvalue().to_pybytes())


def remove(place: Root, path: str) -> None:
    """Remove a file that may be gone already."""
    with suppress(FileNotFoundError):
        if place.is_local:
            os.unlink(place.full(path))
        else:
            place.fs.rm_file(place.fs._strip_protocol(place.full(path)))


@contextmanager
def alone(place: Root) -> Iterator[None]:
    """Make the folder, and keep other processes of this machine from writing into it meanwhile.

    An object store has no lock: two that build there do the work twice, to the same end. Raises
    ValueError if it cannot be written, RuntimeError if another process is at it.
    """
    if not place.is_local:
        yield
        return
    lock = FileLock(f"{place.url}/.lock", timeout=0)
    try:
        os.makedirs(place.url, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise RuntimeError(f"{place.url}: another process is writing it; wait for it") from None
    except OSError as error:
        raise _not_writable(place, error) from error
    try:
        yield
    finally:
        lock.release()


def _not_writable(place: Root, error: OSError) -> ValueError:
    return ValueError(
        f"{place.url}: cannot be written ({error.strerror or error}); name a folder that can: "
        "--index DIR, or index= of the source"
    )
