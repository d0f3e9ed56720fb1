"""Tables of image files and captions, as open_clip reads CC3M.

Images must lie below the root already: the official Conceptual Captions files hold urls, to be
downloaded first (with img2dataset, say, whose tars need no table).

Format: open_clip's ``CsvDataset`` (https://github.com/mlfoundations/open_clip), and
https://ai.google.com/research/ConceptualCaptions/download.
"""

from __future__ import annotations

import csv
import posixpath
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

from raystudy.shards.bytes import Bytes
from raystudy.shards.folder import images
from raystudy.shards.root import Root
from raystudy.shards.row import MAX_TEXT_BYTES, Rows, Unusable, label_in, metadata
from raystudy.shards.table import Fault, Indexed

FILE_COLUMNS = ("filepath", "image", "file", "path", "file_name", "filename")
CAPTION_COLUMNS = ("title", "caption", "text")
_PIECE_BYTES = 1 << 20
_FILES_AT_ONCE = 1024


def index(root: Root, path: str) -> Indexed:
    """The examples of a table separated by tabs or commas, in its order.

    Its header names a column of files, relative to the table's folder, and one of captions;
    ``label`` and metadata columns are read too. Without a header, a row of tab-separated cells is a
    caption and a file. The id is the file's path below the root without its suffix. A row whose
    file is not there (a url, say) has NO_IMAGE, one whose path leaves the root is UNREADABLE.
    Raises ValueError if it is no such table, OSError.
    """
    rows = Rows()
    with root.open(path) as file:
        lines = _Lines(file)
        header, table = _layout(lines)
        parsed = _parsed(posixpath.dirname(path), path, header, table, lines, rows)
        while batch := list(islice(parsed, _FILES_AT_ONCE)):
            found = images(root, [row["path"] for _, row in batch])
            for (where, row), image in zip(batch, found, strict=True):
                with rows.example(where):
                    if isinstance(image, Fault):
                        raise Unusable(image)
                    rows.add(where, row | image)
    return rows.indexed()


class _Header(NamedTuple):
    """The names of the columns, and where those are that every row needs."""

    names: tuple[str, ...]
    file: int
    caption: int | None
    label: int | None


Table = Iterator[list[str] | None]
"""The cells of each row; None for a row that cannot be read."""


class _Lines:
    """The lines of a file with their ends, no longer than ``MAX_TEXT_BYTES``."""

    def __init__(self, file: Bytes) -> None:
        self._file = file
        self.number = 0
        self.was_cut = False
        """Whether a line since this was last set to False was too long."""

    def __iter__(self) -> Iterator[str]:
        rest, skip = b"", False
        for at in range(0, self._file.size, _PIECE_BYTES):
            *whole, rest = (rest + self._file.at(at, _PIECE_BYTES)).split(b"\n")
            for line in whole:
                if not skip:
                    yield self._text(line + b"\n")
                skip = False
            if len(rest) > MAX_TEXT_BYTES and not skip:
                yield self._text(rest)
                skip = True
            if skip:
                rest = b""
        if rest:
            yield self._text(rest)

    def _text(self, line: bytes) -> str:
        self.number += 1
        self.was_cut |= len(line) > MAX_TEXT_BYTES
        return line[:MAX_TEXT_BYTES].decode("utf-8-sig" if self.number == 1 else "utf-8", "replace")


def _layout(lines: _Lines) -> tuple[_Header, Table]:
    """The header and the rows after it. Raises ValueError."""
    stream = iter(lines)
    first = next(stream, "")
    table = _by_tabs if "\t" in first else _by_commas
    cells = next(table(iter([first])), None) or []
    names = tuple(cell.strip().lower() for cell in cells)
    file, caption = _first(names, FILE_COLUMNS), _first(names, CAPTION_COLUMNS)
    label = _first(names, ("label",))
    if file is not None and (caption is not None or label is not None):
        exact = tuple(cell.strip() for cell in cells)
        return _Header(exact, file, caption, label), table(stream)
    if "\t" in first:
        return _Header((), 1, 0, None), table(chain([first], stream))
    raise ValueError(
        f"no table of images: its first line names no column of files ({', '.join(FILE_COLUMNS)}) "
        f"and of captions ({', '.join(CAPTION_COLUMNS)})"
    )


def _first(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def _by_tabs(lines: Iterator[str]) -> Table:
    """A line is a row. Quotes count only where they are those of a csv writer: the official
    captions may begin with one that nothing closes."""
    for line in lines:
        line = line.rstrip("\r\n")
        try:
            yield next(csv.reader([line], delimiter="\t", strict=True), [])
        except csv.Error:
            yield line.split("\t")


def _by_commas(lines: Iterator[str]) -> Table:
    """RFC 4180: a cell in quotes may hold line ends."""
    reader = csv.reader(lines)
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error:  # a cell over csv.field_size_limit, by default 128 KiB
            yield None


def _parsed(
    folder: str, path: str, header: _Header, table: Table, lines: _Lines, rows: Rows
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each row is and what it says, all but its image."""
    lines.was_cut = False
    for cells in table:
        where = f"{path}:{lines.number}"
        was_cut, lines.was_cut = lines.was_cut, False
        if cells is None or was_cut:
            rows.lose(Fault.BAD_TEXT, where)
        elif any(cells):
            with rows.example(where):
                yield where, _row(folder, header, cells)


def _row(folder: str, header: _Header, cells: Sequence[str]) -> dict[str, Any]:
    if len(cells) <= max(header.file, header.caption or 0, header.label or 0):
        raise Unusable(Fault.BAD_TEXT)
    file = _inside(folder, cells[header.file].strip())
    stem, dot, suffix = file.rpartition(".")
    label = cells[header.label].strip() if header.label is not None else ""
    return {
        **metadata(dict(zip(header.names, cells, strict=False))),
        "id": stem if dot and "/" not in suffix else file,
        "path": file,
        "label": label_in(label) if label else -1,
        "caption": "" if header.caption is None else cells[header.caption].strip(),
    }


def _inside(folder: str, name: str) -> str:
    """The path below the root of a file named relative to ``folder``. Raises Unusable."""
    if not name or "://" in name:
        raise Unusable(Fault.NO_IMAGE)
    path = posixpath.normpath(posixpath.join(folder, name))
    if path.startswith(("/", "../")) or path in ("..", ".") or "\0" in path or "::" in path:
        raise Unusable(Fault.UNREADABLE)
    return path
