"""Open files, read at any place: on this machine, or in a store that fsspec speaks to."""

from __future__ import annotations

import io
import os
import stat
from typing import Any

from raystudy.shards.retried import retried

READ_AHEAD_BYTES = 8 << 20


class Bytes(io.RawIOBase):
    """An open file, read at any place; also a seekable file object, for libraries that want one."""

    size: int

    def __init__(self) -> None:
        self._position = 0

    def __enter__(self) -> Bytes:
        return self

    def at(self, offset: int, n: int) -> bytes:
        """``n`` bytes from ``offset``; fewer only at the end of the file. Raises OSError."""
        raise NotImplementedError

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self.at(self._position, len(view))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


class LocalBytes(Bytes):
    def __init__(self, path: str) -> None:
        super().__init__()
        # Without O_NONBLOCK, opening a named pipe would wait for its writer for ever.
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(self._fd)
        self.size = status.st_size
        if not stat.S_ISREG(status.st_mode):
            self.close()
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError(path)
            raise OSError(f"{path}: not a regular file")

    def at(self, offset: int, n: int) -> bytes:
        n = _within(self.size, offset, n)
        data = os.pread(self._fd, n, offset) if n else b""
        while len(data) < n and (more := os.pread(self._fd, n - len(data), offset + len(data))):
            data += more  # Linux hands out at most 2 GiB at once
        return data

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
        super().close()


class RemoteBytes(Bytes):
    """Reads ``READ_AHEAD_BYTES`` at a time, since shards are mostly read from start to end."""

    def __init__(self, url: str, fs: Any, path: str, size: int | None) -> None:
        """Raises OSError if the store does not tell the size."""
        super().__init__()
        if size is None:
            raise OSError(f"{url}: the store does not say how long it is")
        self.size = size
        self._url, self._fs, self._path = url, fs, path
        self._start, self._ahead = 0, b""

    def at(self, offset: int, n: int) -> bytes:
        n = _within(self.size, offset, n)
        if not n:
            return b""
        if not self._start <= offset <= offset + n <= self._start + len(self._ahead):
            end = min(self.size, offset + max(n, READ_AHEAD_BYTES))
            self._ahead = read_range(self._fs, self._path, self._url, offset, end)
            self._start = offset
        return self._ahead[offset - self._start : offset - self._start + n]


def read_range(fs: Any, path: str, url: str, start: int, end: int) -> bytes:
    """Bytes [start, end) of a remote file, all of them. Raises OSError."""

    def fetch() -> bytes:
        data = fs.cat_file(path, start=start, end=end)
        if len(data) != end - start:  # cut on the way, or a server that does not know ranges
            raise OSError(f"{len(data):,} bytes came, not bytes {start:,} to {end:,}")
        return data

    return retried(fetch, url)


def _within(size: int, offset: int, n: int) -> int:
    """How many of ``n`` bytes from ``offset`` there are: a hostile length allocates nothing."""
    if offset < 0 or n < 0:
        raise ValueError(f"bytes {offset} to {offset + n} of a file")
    return max(0, min(n, size - offset))
