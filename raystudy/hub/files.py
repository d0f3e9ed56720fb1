"""Weights and their descriptions as files: found on this machine, or downloaded, or asked for.

A file is looked up in the caches that the libraries share; only what is in none is downloaded.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

READ = 1 << 24
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class HubFile:
    """A file of a repository on the model hub; ``owner/name@revision`` pins one version."""

    repository: str
    name: str

    def __str__(self) -> str:
        return f"{self.repository}/{self.name} on the hub"


@dataclass(frozen=True)
class WebFile:
    """A file behind a URL, kept in torch's cache."""

    url: str

    def __str__(self) -> str:
        return self.url


class UnreachableError(OSError):
    """A file that is not on this machine and cannot be downloaded now."""


def first(files: Sequence[HubFile | WebFile], owner: str, what: str, way_out: str = "") -> Path:
    """The first of ``files`` that there is, found or downloaded.

    Raises FileNotFoundError in one line: whose file (``owner``), ``what`` it is, where it lies, why
    it cannot be had, and the ``way_out``.
    """
    for file in files:
        if path := cached(file):
            return path
    why = "nothing offers it"
    for file in files:
        try:
            if path := fetch(file):
                return path
            why = "there is no such file"
        except UnreachableError as error:
            why = str(error)
            break
    places = " or ".join(str(f) for f in files)
    raise FileNotFoundError(f"{owner}: {what} is not on this machine ({why}): {places}{way_out}")


def cached(file: HubFile | WebFile) -> Path | None:
    """Where ``file`` lies on this machine."""
    if isinstance(file, WebFile):
        path = _web_path(file)
        return path if path.is_file() else None
    from huggingface_hub import try_to_load_from_cache

    repository, _, revision = file.repository.partition("@")
    path = try_to_load_from_cache(repository, file.name, revision=revision or None)
    return Path(path) if isinstance(path, str) else None


def fetch(file: HubFile | WebFile) -> Path | None:
    """Download ``file``; None if there is no such file. Raises UnreachableError."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise UnreachableError("HF_HUB_OFFLINE is set")
    return _from_web(file) if isinstance(file, WebFile) else _from_hub(file)


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content; about a second for each gigabyte, once in a process."""
    resolved = path.resolve()
    # The hub's cache already calls large files by it.
    if resolved.parent.name == "blobs" and SHA256.fullmatch(resolved.name):
        return resolved.name
    stat = resolved.stat()
    return _sha256(resolved, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _from_hub(file: HubFile) -> Path | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        LocalEntryNotFoundError,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
    )

    repository, _, revision = file.repository.partition("@")
    try:
        return Path(hf_hub_download(repository, file.name, revision=revision or None))
    except RemoteEntryNotFoundError:
        return None
    except RepositoryNotFoundError as error:
        raise UnreachableError(
            f"the hub has no repository '{repository}', or it is not open to you: see HF_TOKEN"
        ) from error
    except (LocalEntryNotFoundError, OSError) as error:
        raise UnreachableError(f"no download: {_reason(error)}") from error


def _from_web(file: WebFile) -> Path:
    from timm.models._hub import download_cached_file

    try:
        return Path(download_cached_file(file.url))
    except (OSError, RuntimeError) as error:  # no connection, or another content than announced
        raise UnreachableError(f"no download: {_reason(error)}") from error


def _web_path(file: WebFile) -> Path:
    from timm.models._hub import get_cache_dir

    return Path(get_cache_dir()) / file.url.rpartition("/")[2]


def _reason(error: BaseException) -> str:
    """The innermost cause, in one line."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # pyright: ignore[reportAssignmentType]
    return str(error).strip().partition("\n")[0] or type(error).__name__
