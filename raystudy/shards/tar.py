"""Tars whose members, grouped by name, are examples: WebDataset, img2dataset, ImageNet's own.

One pass from start to end: headers are walked, images digested and probed, texts read as they come.
Nothing is unpacked or unpickled, so no name in a tar can reach the file system.

Format: https://github.com/webdataset/webdataset, POSIX.1-1988 (ustar), pax and GNU tars.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from raystudy.shards import parquet
from raystudy.shards.bytes import Bytes
from raystudy.shards.root import Root
from raystudy.shards.row import (
    IMAGE_SUFFIXES,
    MAX_TEXT_BYTES,
    Fields,
    Rows,
    Unusable,
    check_size,
    fields_of,
    image_columns,
    label_in,
    label_of,
    text_of,
)
from raystudy.shards.table import Fault, Indexed

log = logging.getLogger(__name__)

BLOCK = 512
MAX_NAME_BYTES = 4096


def index(root: Root, path: str) -> Indexed:
    """The examples of a tar, in its order.

    An example has one image (.jpg, .jpeg, .png, .webp, in any case), a class index in ``.cls`` or
    as ``label`` in ``.json``, a caption in ``.txt`` or as ``caption`` in ``.json``. Its id is the
    members' name up to the first dot after the last slash. A tar within the tar, as in
    ILSVRC2012_img_train.tar, is read where it lies: ids begin with its name and a slash. Metadata
    are fields of the JSON or, where that does not know, columns of img2dataset's ``.parquet``
    beside the tar, joined by ``key``.

    What lies behind the point where a tar is cut off or damaged is left out, and so is the example
    before it if that has fewer members than the one before. Raises OSError.
    """
    rows = Rows()
    with root.open(path) as file:
        _index(file, path, _Archive("", 0, file.size), _beside(root, path, rows), rows)
    return rows.indexed()


def texts(root: Root, path: str, max_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Path below the root and content of every ``.txt`` of a tar of at most ``max_bytes``, in its
    order. Raises ValueError where it is cut off or damaged, after those before; OSError."""
    with root.open(path) as file:
        try:
            for member in _walk(file, _Archive("", 0, file.size)):
                if _split(member.name)[1] == "txt" and member.size <= max_bytes:
                    yield f"{path}/{member.name}", file.at(member.offset, member.size)
        except _DamagedError as where:
            raise ValueError(f"a tar that is damaged {where}") from None


def starts_tar(block: bytes) -> bool:
    """Whether the first 512 bytes of a file are a tar's header, or the end of an empty one."""
    try:
        return block == bytes(BLOCK) or _header(block) is not None
    except ValueError:
        return False


class _Archive(NamedTuple):
    prefix: str
    """Of ids; empty for the outer tar."""
    start: int
    end: int


class _Member(NamedTuple):
    name: str
    offset: int
    size: int


class _DamagedError(Exception):
    """Where a tar stops making sense."""


Slots = dict[str, Any]
"""What an example's members hold: image, cls, txt, json, each read, or why it cannot be (Fault)."""


def _index(
    file: Bytes, path: str, archive: _Archive, side: Mapping[str, Mapping[str, Any]], rows: Rows
) -> None:
    examples: dict[str, Slots] = {}
    try:
        for member in _walk(file, archive):
            stem, suffix = _split(member.name)
            if not stem:
                continue
            if suffix == "tar" and not archive.prefix:
                inner = _Archive(f"{stem}/", member.offset, member.offset + member.size)
                _index(file, path, inner, side, rows)
                continue
            slot = _SLOTS.get(suffix)
            if not slot:  # none of ours, and by itself no example
                continue
            slots = examples.setdefault(archive.prefix + stem, {})
            if slot == "image" and slot in slots:
                rows.lose(Fault.REPEATED_ID, f"{path}/{archive.prefix}{stem}")
            elif slot not in slots:
                slots[slot] = _read(file, slot, member)
    except _DamagedError as where:
        rows.lose(Fault.CUT_TAR, f"{path}/{archive.prefix}".rstrip("/") + f" {where}")
        *_, before, last = {}, {}, *examples.values()
        if not last.keys() >= before.keys():  # else it is whole, as far as anyone can tell
            id, _ = examples.popitem()
            rows.lose(Fault.CUT_EXAMPLE, f"{path}/{id}")
    for id, slots in examples.items():
        where = f"{path}/{id}"
        with rows.example(where):
            rows.add(where, {"id": id, "path": path} | _row(slots, side.get(id, {})))


def _row(slots: Slots, side: Mapping[str, Any]) -> dict[str, Any]:
    for slot in _READ:
        if isinstance(found := slots.get(slot), Fault):
            raise Unusable(found)
    if "image" not in slots:
        raise Unusable(Fault.NO_IMAGE)
    fields: Fields = slots.get("json", Fields(None, "", {}))
    return {
        **side,
        **fields.metadata,
        **slots["image"],
        "label": slots["cls"] if "cls" in slots else label_of(fields.label),
        "caption": slots.get("txt", fields.caption),
    }


def _split(name: str) -> tuple[str, str]:
    """Name → id and suffix in lower case; an empty id for what is none of ours."""
    while name.startswith("./"):
        name = name[2:]
    folder, slash, base = name.rpartition("/")
    stem, dot, suffix = base.partition(".")
    return (folder + slash + stem, suffix.lower()) if stem and dot else ("", "")


def _read(file: Bytes, slot: str, member: _Member) -> Any:
    try:
        if slot == "image":
            check_size(member.size)
        elif member.size > MAX_TEXT_BYTES:
            raise Unusable(Fault.BAD_TEXT)
        data = file.at(member.offset, member.size)
        if len(data) < member.size:  # cut since it was opened
            raise Unusable(Fault.UNREADABLE)
        return _READ[slot](data, member)
    except Unusable as reason:
        return reason.fault


_READ = {
    "image": lambda data, member: {"offset": member.offset} | image_columns(data),
    "cls": lambda data, _: label_in(text_of(data)),
    "txt": lambda data, _: text_of(data),
    "json": lambda data, _: fields_of(data),
}
_SLOTS = dict.fromkeys(IMAGE_SUFFIXES, "image") | {"cls": "cls", "txt": "txt", "json": "json"}


def _beside(root: Root, path: str, rows: Rows) -> Mapping[str, Mapping[str, Any]]:
    """id → metadata, from img2dataset's parquet beside the tar."""
    side = path.removesuffix(".tar") + ".parquet"
    try:
        return parquet.metadata_by_key(root, side)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        log.warning("%s is not used: %s", side, error)
        rows.lose(Fault.BAD_TEXT, side)
        return {}


def _walk(file: Bytes, archive: _Archive) -> Iterator[_Member]:
    """The regular files up to the end; _DamagedError at the first that is not all there."""
    at, end = archive.start, archive.end
    long: dict[str, str] = {}  # what a pax or GNU header says of the file behind it
    while (block := file.at(at, min(BLOCK, end - at))) != bytes(BLOCK):
        try:
            name, size, kind = _header(block)
            if kind not in b"xgLK":
                name, size = long.get("path", name), int(long.get("size", size))
                long = {}
            body = 0 if kind in b"123456" else size  # links, devices and folders have none
            if not 0 <= body <= end - at - BLOCK:
                raise ValueError
            if kind in b"xL":
                if size > MAX_TEXT_BYTES:
                    raise ValueError
                extra = file.at(at + BLOCK, size)
                long |= _pax(extra) if kind == b"x" else {"path": _string(extra)}
            if len(long.get("path", "")) > MAX_NAME_BYTES:
                raise ValueError
        except ValueError:
            last = at - archive.start
            raise _DamagedError(f"from byte {last} of {end - archive.start}") from None
        if kind in (b"0", b"\0", b"7"):
            yield _Member(name, at + BLOCK, size)
        at += BLOCK + -(-body // BLOCK) * BLOCK
        if at > end:  # the padding of the last file is cut off
            at = end


def _header(block: bytes) -> tuple[str, int, bytes]:
    """Name, size and type of a tar header. Raises ValueError if it is none."""
    if len(block) < BLOCK or sum(block) - sum(block[148:156]) + 8 * 32 != _number(block[148:156]):
        raise ValueError
    name = _string(block[:100])
    if block[257:263] == b"ustar\0" and block[345]:
        name = f"{_string(block[345:500])}/{name}"
    return name, _number(block[124:136]), block[156:157]


def _number(field: bytes) -> int:
    if field[0] == 0x80:  # GNU: base 256, for sizes from 8 GiB
        return int.from_bytes(field[1:])
    return int(field.partition(b"\0")[0].strip() or b"0", 8)


def _string(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")


def _pax(records: bytes) -> dict[str, str]:
    """``path`` and ``size`` among lines of "<length> <keyword>=<value>"."""
    found, at = {}, 0
    while at < len(records):
        space = records.index(b" ", at, at + 20)
        length = int(records[at:space])
        if length <= space - at:
            raise ValueError
        keyword, _, value = records[space + 1 : at + length - 1].partition(b"=")
        if keyword in (b"path", b"size"):
            found[keyword.decode()] = value.decode("utf-8", "replace")
        at += length
    return found
