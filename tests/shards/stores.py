"""Stores that fail: a file system that does as it is told, and a web server on this machine."""

from __future__ import annotations

import io
import itertools
import tarfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractFileSystem
from PIL import Image


def jpeg(i: int, side: int = 12) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((side, side), 10 + i % 90).convert("RGB").save(buffer, "JPEG")
    return buffer.getvalue()


def write_tar(path: Path, examples: Mapping[str, Mapping[str, bytes]]) -> None:
    """Examples as id → suffix → bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for id, members in examples.items():
            for suffix, data in members.items():
                entry = tarfile.TarInfo(f"{id}.{suffix}")
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))


def labelled(ids: Iterator[int] | range, num_classes: int = 3) -> dict[str, dict[str, bytes]]:
    return {
        f"{i:06d}": {
            "jpg": jpeg(i),
            "cls": str(i % num_classes).encode(),
            "txt": f"picture number {i}".encode(),
        }
        for i in ids
    }


class Shaky(AbstractFileSystem):
    """A local folder as ``shaky:///folder``, whose requests go through ``fault``: it may raise,
    wait, or return what becomes of the bytes that were read."""

    protocol = "shaky"
    cachable = False
    requests: ClassVar[list[tuple[str, str, int | None, int | None]]] = []
    fault: ClassVar[Callable[[str, str, bytes], bytes]] = staticmethod(lambda what, path, b: b)

    @classmethod
    def reset(cls) -> None:
        cls.requests = []
        cls.fault = staticmethod(lambda what, path, data: data)

    def _ask(self, what: str, path: str, start: int | None = None, end: int | None = None) -> str:
        path = self._strip_protocol(path)
        Shaky.requests.append((what, path, start, end))
        if what != "cat":
            Shaky.fault(what, path, b"")
        return path

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("shaky://").strip("/")

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        infos = LocalFileSystem().ls(self._ask("ls", path), detail=True)
        return infos if detail else [info["name"] for info in infos]

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        return LocalFileSystem().info(self._ask("info", path))

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any
    ) -> bytes:
        path = self._ask("cat", path, start, end)
        return Shaky.fault("cat", path, Path(path).read_bytes()[start:end])

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        target = Path(self._ask("pipe", path))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(value)

    def rm_file(self, path: str) -> None:
        Path(self._ask("rm", path)).unlink()


fsspec.register_implementation("shaky", Shaky, clobber=True)


class EveryThird:
    """Raises at the first request and at every third after it, whatever is asked for."""

    def __init__(self) -> None:
        self.numbers = itertools.count()

    def __call__(self, what: str, path: str, data: bytes) -> bytes:
        if next(self.numbers) % 3 == 0:
            raise OSError("the store is busy")
        return data


class WebServer(ThreadingHTTPServer):
    """Serves a folder with byte ranges; answers 503 to the first ``num_refused`` requests for each
    file."""

    daemon_threads = True

    def __init__(self, folder: Path, num_refused: int) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
        self.num_refused = num_refused
        self.asked: Counter[str] = Counter()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WebServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def send_head(self) -> Any:
        with self.server.lock:
            self.server.asked[self.path] += 1
            refused = self.server.asked[self.path] <= self.server.num_refused
        path = Path(self.translate_path(self.path))
        if refused:
            self.send_error(503)
            return None
        if not path.is_file():
            return super().send_head()
        data = path.read_bytes()
        unit, _, span = self.headers.get("Range", "").partition("=")
        first, last = 0, len(data) - 1
        if unit == "bytes":
            a, _, b = span.partition("-")
            first, last = int(a), min(last, int(b or last))
            if first > last:
                self.send_error(416)
                return None
        self.send_response(206 if unit else 200)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Last-Modified", self.date_time_string(path.stat().st_mtime))
        self.end_headers()
        return io.BytesIO(data[first : last + 1])

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serve(folder: Path, num_refused: int = 0) -> Iterator[WebServer]:
    server = WebServer(folder, num_refused)
    thread = threading.Thread(target=partial(server.serve_forever, 0.02), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
