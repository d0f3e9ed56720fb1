"""Documents in the formats that text comes in, below a folder or an object store's prefix.

Files are read in the order of their names, one document in memory at a time. What cannot be read
is left out with a warning that names it; nothing in a file makes a reader raise.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from raystudy.key import digest
from raystudy.shards import parquet, tar
from raystudy.shards.root import Root
from raystudy.text.documents import MAX_DOCUMENT_BYTES, Document

log = logging.getLogger(__name__)


def documents(root: Root, paths: Sequence[str], column: str) -> Iterator[Document]:
    """Those of all files; of parquet files the rows of a ``column`` of text."""
    for path in sorted(paths):
        try:
            for name, data in _texts(root, path, column):
                if data and len(data) <= MAX_DOCUMENT_BYTES:
                    yield Document(name, data.decode("utf-8", "replace"))
        except (OSError, ValueError) as error:
            log.warning("%s: %s; the rest of it is left out", root.full(path), error)


def content(root: Root, paths: Sequence[str]) -> str:
    """A digest of the names and sizes of files. Raises FileNotFoundError if one is gone."""
    sizes = []
    for path in sorted(paths):
        with root.open(path) as file:
            sizes.append((path, file.size))
    return digest(sizes)


def _texts(root: Root, path: str, column: str) -> Iterator[tuple[str, bytes | None]]:
    if path.endswith(".tar"):
        yield from tar.texts(root, path, MAX_DOCUMENT_BYTES)
    elif path.endswith(".parquet"):
        for row, text in enumerate(parquet.texts(root, path, column)):
            yield f"{path}/{row}", text
    else:
        with root.open(path) as file:
            if file.size > MAX_DOCUMENT_BYTES:
                raise ValueError(f"{file.size:,} bytes, over {MAX_DOCUMENT_BYTES:,}")
            yield path, file.at(0, file.size)
