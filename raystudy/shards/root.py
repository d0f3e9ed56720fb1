"""The folder or object-store prefix that holds a data set, and what lies there.

On local disks everything goes straight through ``os``. Elsewhere fsspec speaks to the store, and
every request is tried several times (``raystudy.shards.retried``).
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import fsspec
from fsspec.utils import glob_translate

from raystudy.shards.bytes import Bytes, LocalBytes, RemoteBytes
from raystudy.shards.retried import retried

log = logging.getLogger(__name__)

MAX_WHOLE_BYTES = 64 << 20
MANIFEST_FOLDER = "_raystudy"
"""Where a manifest lies by default; no listing goes in there."""


class Root:
    """A local folder or any fsspec URL (``s3://bucket/prefix``). Picklable.

    Every path is relative to it, with slashes; one that is absolute or holds ``..`` is refused with
    ValueError. Names that begin with a dot are not listed, links to folders are followed.
    """

    def __init__(self, url: str) -> None:
        local = local_path(url)
        self.is_local = local is not None
        self.url = url.rstrip("/") if local is None else local
        self._listed: dict[str, dict[str, Any]] = {}
        self._sizes: dict[str, int | None] = {}

    def __reduce__(self) -> tuple[type[Root], tuple[str]]:
        return Root, (self.url,)

    def __repr__(self) -> str:
        return f"Root({self.url!r})"

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.url.rpartition("/")[2]

    def full(self, path: str) -> str:
        """``path`` as an absolute path or URL, which ``shards.read.Reader`` takes."""
        return f"{self.url}/{_checked(path)}".rstrip("/")

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder."""
        if self.is_local:
            return os.path.exists(self.full(path))
        try:
            return bool(self._info(path))
        except FileNotFoundError:
            return False

    def read(self, path: str, limit: int = MAX_WHOLE_BYTES) -> bytes | None:
        """A whole file; None where there is none. Raises ValueError if over ``limit`` bytes."""
        try:
            with self.open(path) as file:
                if file.size > limit:
                    raise ValueError(
                        f"{self.full(path)}: {file.size:,} bytes, over the limit of {limit:,}"
                    )
                return file.at(0, file.size)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def open(self, path: str) -> Bytes:
        """Raises FileNotFoundError, IsADirectoryError, or OSError for what cannot be read."""
        if self.is_local:
            return LocalBytes(self.full(path))
        size = self._sizes.get(path)
        if size is None:
            info = self._info(path)
            if info.get("type") == "directory":
                raise IsADirectoryError(self.full(path))
            size = info.get("size")
        return RemoteBytes(self.full(path), self.fs, self._base(path), size)

    def glob(self, pattern: str) -> list[str]:
        """Paths of the files that match, sorted. ``*`` stays within a folder, ``**/`` does not.
        Empty where there is no such folder."""
        matches = re.compile(glob_translate(pattern)).match
        fixed = _fixed_part(_checked(pattern))
        depth = None if "**" in pattern else pattern[len(fixed) :].strip("/").count("/") + 1
        return sorted(path for path in self._walk(fixed, depth) if matches(path))

    def folders(self, path: str = "") -> list[str]:
        """Paths of the folders immediately in ``path``, sorted."""
        return self._in(path, folders=True)

    def files(self, path: str = "") -> list[str]:
        """Paths of the files immediately in ``path``, sorted."""
        return self._in(path, folders=False)

    def stamp(self, path: str) -> str:
        """A cheap fingerprint that changes when the file does, as far as the file system tells.

        Size and time of change (local); size and ETag, checksum or time as last listed (remote).
        Of a folder: its own time (local), or what is listed in it (remote). Raises
        FileNotFoundError.
        """
        if self.is_local:
            status = os.stat(self.full(path))
            size = "folder" if stat.S_ISDIR(status.st_mode) else status.st_size
            return f"{size}-{status.st_mtime_ns}"
        info = self._listed.get(_checked(path)) or {}
        if not _version(info):  # a listing that tells names alone, as of a web server
            info = self._info(path)
        if info.get("type") == "directory":
            entries = self._entries(path).items()
            text = repr(sorted((name, i.get("size"), _version(i)) for name, i in entries))
            return f"folder-{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"
        return f"{info.get('size')}-{_version(info)}"

    @cached_property
    def fs(self) -> Any:
        """The fsspec file system. Raises ValueError if the URL cannot be understood."""
        try:
            return fsspec.core.url_to_fs(self.url, use_listings_cache=False)[0]
        except (ValueError, ImportError) as error:
            raise ValueError(f"{self.url}: {error}; give a folder or an fsspec URL") from error

    def _base(self, path: str = "") -> str:
        return self.fs._strip_protocol(self.full(path))

    def _info(self, path: str) -> dict[str, Any]:
        base = self._base(path)
        return retried(lambda: self.fs.info(base), self.full(path))

    def _in(self, path: str, folders: bool) -> list[str]:
        above = _checked(path)
        found = []
        if self.is_local:
            try:
                with os.scandir(self.full(path)) as entries:
                    names = [e.name for e in entries if (e.is_dir() if folders else e.is_file())]
            except (FileNotFoundError, NotADirectoryError):
                return []
            found = [f"{above}/{n}".lstrip("/") for n in names if _is_listed(n)]
        else:
            entries = self._entries(path)
            found = [p for p, i in entries.items() if (i["type"] == "directory") == folders]
            # A request saved for each image of a folder; one folder's, for there may be millions.
            self._sizes = {p: i.get("size") for p, i in entries.items() if i["type"] == "file"}
        return sorted(found)

    def _walk(self, above: str, depth: int | None) -> Iterator[str]:
        """Files at most ``depth`` levels below ``above`` (1: immediately in it)."""
        if self.is_local:
            yield from _walk(self.url, above, depth, ())
            return
        # Folder by folder: fsspec's own ``find`` leaves out what it fails to list.
        for path, info in self._entries(above).items():
            if info["type"] != "directory":
                self._listed[path] = info
                yield path
            elif depth != 1:
                yield from self._walk(path, depth and depth - 1)

    def _entries(self, path: str) -> dict[str, dict[str, Any]]:
        """What a remote folder holds, by path; empty where there is none."""
        base = self._base(path)
        try:
            infos = retried(lambda: self.fs.ls(base, detail=True), self.full(path))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        below = ((self._below(i["name"]), i) for i in infos if _differ(i["name"], base))
        return {inner: info for inner, info in below if inner}

    def _below(self, name: str) -> str | None:
        """A name as the store lists it, relative to this root; None if it is not for us."""
        base = self._base().rstrip("/") + "/"
        parts = name.rstrip("/").removeprefix(base).split("/")
        inside = name.startswith(base) and all(_is_listed(part) for part in parts)
        return "/".join(parts) if inside else None


def local_path(url: str) -> str | None:
    """``url`` as an absolute path of this machine; None if it lies elsewhere."""
    path = url.removeprefix("file://")
    return None if "://" in path else os.path.abspath(os.path.expanduser(path))


def _differ(name: str, base: str) -> bool:
    """Object stores list a folder's own marker, and a file as itself."""
    return name.rstrip("/") != base.rstrip("/")


def _checked(path: str) -> str:
    """``path`` without a trailing slash. Raises ValueError if it is not below the root."""
    if path.startswith("/") or ".." in path.split("/") or "\0" in path:
        raise ValueError(f"{path!r} does not lie below the root; give a relative path without '..'")
    return path.rstrip("/")


def _fixed_part(pattern: str) -> str:
    """The folders of a glob pattern before the first that has a wildcard."""
    folders = pattern.split("/")[:-1]
    varies = (i for i, part in enumerate(folders) if re.search(r"[*?\[]", part))
    return "/".join(folders[: next(varies, len(folders))])


def _is_listed(name: str) -> bool:
    if not name.isprintable() and any("\ud800" <= c <= "\udfff" for c in name):
        log.warning("left out: a file or folder whose name is not UTF-8: %r", name)
        return False
    return bool(name) and not name.startswith(".") and name != MANIFEST_FOLDER


def _walk(
    root: str, above: str, depth: int | None, inside: tuple[tuple[int, int], ...]
) -> Iterator[str]:
    """Files below a local folder; ``inside`` holds the folders above, so that links cannot loop."""
    try:
        status = os.stat(os.path.join(root, above))
        entries = list(os.scandir(os.path.join(root, above)))
    except (FileNotFoundError, NotADirectoryError):
        return
    here = (status.st_dev, status.st_ino)
    if here in inside:
        return
    for entry in entries:
        if not _is_listed(entry.name):
            continue
        path = f"{above}/{entry.name}" if above else entry.name
        if entry.is_file():
            yield path
        elif depth != 1 and entry.is_dir():
            yield from _walk(root, path, depth and depth - 1, (*inside, here))


def _version(info: dict[str, Any]) -> str:
    """Whatever tells one content of a remote file from the next; empty if nothing does."""
    names = ("ETag", "etag", "md5Hash", "content_md5", "LastModified", "Last-Modified", "mtime")
    names += ("last_modified", "updated", "modified", "created")
    return next((str(info[name]).strip('"') for name in names if info.get(name)), "")
