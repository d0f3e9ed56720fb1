"""Artifact folders on any fsspec file system: written, then marked done with their provenance.

``store/<room>/<key>/`` holds one artifact. A folder without its marker was interrupted and counts
as missing; the same spec written again yields the same files. Folders on the local disk appear
whole, by a rename; elsewhere the marker is written last.
"""

import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec

from raystudy.key import digest
from raystudy.kinds import Spec
from raystudy.public import public

MARKER = "_done.json"
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"}
"""They have no folders. To be asked for one, fsspec makes a bucket where there is none."""


class Store:
    """``Store("runs")`` or ``Store("s3://bucket/prefix")``."""

    def __init__(self, root: str | Path) -> None:
        """Raises ValueError if the address cannot be understood."""
        text = str(root)
        if not urlsplit(text).scheme:
            text = str(Path(text).resolve())
        try:
            self.fs, self.root = fsspec.core.url_to_fs(text, use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise ValueError(
                f"store {public(text)!r}: {error}; give a folder or an fsspec URL"
            ) from error
        self.is_local = self.fs.protocol in ("file", ("file", "local"))
        self.url = text
        names = {self.fs.protocol} if isinstance(self.fs.protocol, str) else set(self.fs.protocol)
        self._has_folders = not names & OBJECT_STORES

    def path(self, *parts: str) -> str:
        return "/".join((self.root, *parts))

    def done(self, room: str, key: str) -> bool:
        return self.fs.exists(self.path(room, key, MARKER))

    def done_keys(self, room: str) -> set[str]:
        """The keys of every finished artifact of ``room``, by one listing."""
        if self.is_local:
            found = self.fs.glob(self.path(room, "*", MARKER))
        else:  # a glob would list each artifact by itself
            found = [p for p in self.fs.find(self.path(room)) if p.endswith(f"/{MARKER}")]
        return {path.split("/")[-2] for path in found}

    def provenance(self, room: str, key: str) -> dict[str, Any]:
        """What made an artifact, when, and how long it took. Raises FileNotFoundError."""
        return json.loads(self.fs.cat_file(self.path(room, key, MARKER)))

    @contextmanager
    def writing(self, room: str, spec: Spec, **facts: Any) -> Iterator[tuple[Path, dict[str, Any]]]:
        """A local folder to fill, and facts to add to its provenance; published on a clean exit.

        Nothing appears under ``key`` if the body raises.
        """
        started = time.time()
        parent = self.path(room) if self.is_local else None
        if parent:
            os.makedirs(parent, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".writing-", dir=parent))
        try:
            yield folder, facts
            marker = {
                "key": spec.key,
                "spec": spec.describe(),
                "seconds": round(time.time() - started, 3),
                "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "host": platform.node(),
            }
            (folder / MARKER).write_text(json.dumps(marker | facts, indent=1))
            self._publish(folder, room, spec.key)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def local(self, room: str, key: str) -> Path:
        """The artifact as a local folder, copied here first if the store is remote."""
        if self.is_local:
            return Path(self.path(room, key))
        cache = _own_folder() / digest(self.url)[:12] / room / key
        if (cache / MARKER).exists():
            return cache
        cache.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=cache.parent))
        try:
            self.fs.get(self.path(room, key) + "/", str(part) + "/", recursive=True)
            if not (cache / MARKER).exists():  # what a cleaner of temporary files left
                shutil.rmtree(cache, ignore_errors=True)
            part.rename(cache)
        except OSError:  # another process may have been first, with the same files
            if not (cache / MARKER).exists():
                raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return cache

    def write(self, data: bytes | memoryview, *parts: str) -> None:
        """One file, whole or not at all."""
        path = self.path(*parts)
        if self._has_folders:
            self.fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        if self.is_local:
            part = f"{path}.part-{os.getpid()}"
            try:
                with open(part, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(part, path)
            finally:  # what a full disk cut short must not fill it
                with suppress(FileNotFoundError):
                    os.unlink(part)
        else:
            self.fs.pipe_file(path, bytes(data))

    def copy_in(self, folder: Path, *parts: str) -> None:
        """Every file of a local folder, over those of that name which are there; ``MARKER`` last,
        because an object store shows each as it comes."""
        files = [p for p in folder.rglob("*") if p.is_file()]
        for file in sorted(files, key=lambda p: p.name == MARKER):
            self.fs.put_file(str(file), self.path(*parts, file.relative_to(folder).as_posix()))

    def read(self, *parts: str) -> bytes | None:
        """A file's bytes, or None where there is none."""
        try:
            return self.fs.cat_file(self.path(*parts))
        except FileNotFoundError:
            return None

    def names(self, *parts: str) -> list[str]:
        """The files of one folder; none where there is no folder."""
        try:
            found = self.fs.ls(self.path(*parts), detail=False)
        except FileNotFoundError:
            return []
        return sorted(path.rsplit("/", 1)[-1] for path in found)

    def remove(self, *parts: str) -> None:
        with suppress(FileNotFoundError):
            self.fs.rm(self.path(*parts), recursive=True)

    def _publish(self, folder: Path, room: str, key: str) -> None:
        if self.done(room, key):  # another writer was first, with the same files
            return
        target = self.path(room, key)
        if self.is_local:
            shutil.rmtree(target, ignore_errors=True)
            folder.chmod(0o755)
            try:
                folder.rename(target)
            except OSError:
                if not self.done(room, key):
                    raise
            return
        self.copy_in(folder, room, key)


def _own_folder() -> Path:
    """For copies of artifacts. Raises PermissionError if another user has taken its name."""
    folder = Path(tempfile.gettempdir()) / f"raystudy-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user; set TMPDIR to a folder of yours")
    return folder
