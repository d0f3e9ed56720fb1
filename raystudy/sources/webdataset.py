"""WebDataset shards: tars whose members, grouped by name, are examples.

One pass over the headers of the tars makes an index, a row per example; images are then read by
their place in the file, in any order, without opening a tar again. Nothing is unpacked or
unpickled, so no name in a tar can reach the file system, and every read has a bound.

Format: https://github.com/webdataset/webdataset, POSIX.1-1988 (ustar), pax and GNU tars.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image, ImageOps

from raystudy.kinds import Source

log = logging.getLogger(__name__)

MAX_IMAGE_BYTES = 64 << 20
MAX_TEXT_BYTES = 1 << 20
"""Of a ``.cls``, ``.txt`` or ``.json`` member, and of a long name in a header."""
MAX_PIXELS = 64 << 20
MAX_OPEN_FILES = 256

SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "shard": pa.int32(),
        "offset": pa.int64(),
        "size": pa.int64(),
        "label": pa.int64(),
        "caption": pa.string(),
    }
)
"""``shard`` counts within the indexed sequence; ``offset`` and ``size`` are the image's bytes in
it; ``label`` is −1 and ``caption`` empty where there is none."""


class BadImage(ValueError):  # noqa: N818
    """Bytes that are no whole image within bounds."""


class WebDataset(Source):
    """Shards on disk: ``path`` holds ``*.tar``, and ``classnames.txt`` where labels have names."""

    VERSION: ClassVar[int] = 1
    path: str
    label: str | None = None
    """How tables call it; the folder's name if not given."""

    @property
    def name(self) -> str:
        return self.label or self._folder.name

    @property
    def _folder(self) -> Path:
        return Path(os.path.abspath(os.path.expanduser(self.path)))

    def check(self) -> None:
        hint = "give the folder that holds the *.tar shards"
        if not self._folder.is_dir():
            raise FileNotFoundError(f"WebDataset.path={self.path}: no such folder; {hint}")
        if not any(self._folder.glob("*.tar")):
            raise FileNotFoundError(f"WebDataset.path={self.path}: no *.tar in it; {hint}")

    def known_size(self) -> int | None:
        return None

    def shards(self, folder: Path) -> Sequence[Path]:
        return sorted(self._folder.glob("*.tar"))


def index_shards(shards: Sequence[Path]) -> pa.Table:
    """One row of ``SCHEMA`` per example, in the order of the tars.

    An example has one image (.jpg, .jpeg, .png, .webp), a class index in ``.cls`` or as ``label``
    in ``.json``, a caption in ``.txt``; its id is the members' name up to the first dot after the
    last slash. What cannot be used is left out and counted, with one warning for each reason:
    no image, an image that is empty or too large, an unreadable label, an id that was there before
    (the first stays), and what lies behind the point where a tar is cut off or damaged.
    Raises FileNotFoundError if a shard is missing.
    """
    rows: list[tuple[str, int, int, int, int, str]] = []
    seen: set[str] = set()
    lost: defaultdict[str, list[str]] = defaultdict(list)
    for shard, path in enumerate(shards):
        fd = os.open(path, os.O_RDONLY)
        try:
            for id, members in _examples(fd, path, lost).items():
                try:
                    if id in seen:
                        raise _UnusableError("an id that was there before")
                    rows.append((id, shard, *_row(fd, members)))
                    seen.add(id)
                except _UnusableError as reason:
                    lost[str(reason)].append(f"{path.name}/{id}")
        finally:
            os.close(fd)
    for reason, where in lost.items():
        log.warning("left out: %s (%d; the first: %s)", reason, len(where), where[0])
    columns = zip(*rows, strict=True) if rows else ((),) * len(SCHEMA)
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], SCHEMA)


def class_names(folder: Path) -> tuple[str, ...]:
    """The lines of ``classnames.txt`` beside the shards, in label order; empty without one."""
    try:
        return tuple((folder / "classnames.txt").read_text(encoding="utf-8").splitlines())
    except FileNotFoundError:
        return ()


def read_images(rows: Iterable[tuple[Path, int, int]], open_files: dict[Path, int]) -> list[bytes]:
    """The bytes at each (shard, offset, size); fewer where the shard has since been cut, which
    ``decode`` refuses. ``open_files`` keeps descriptors from call to call and belongs to the
    caller; the oldest is closed beyond ``MAX_OPEN_FILES``. Raises OSError for a missing shard."""
    images = []
    for path, offset, size in rows:
        if path not in open_files:
            if len(open_files) >= MAX_OPEN_FILES:
                os.close(open_files.pop(next(iter(open_files))))
            open_files[path] = os.open(path, os.O_RDONLY)
        images.append(os.pread(open_files[path], size, offset))
    return images


def decode(data: bytes, image_size: int) -> NDArray[np.uint8]:
    """RGB pixels (image_size, image_size, 3): unless it has that size already, the shorter side is
    resized (bicubic) and the centre kept. Transparency is dropped. Raises BadImage."""
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as image:
            if image.width * image.height > MAX_PIXELS:
                raise BadImage(f"{image.width} × {image.height} is over {MAX_PIXELS} pixels")
            # A JPEG is decoded at the least scale that leaves twice the side asked for.
            image.draft("RGB", (2 * image_size, 2 * image_size))
            pixels = image.convert("RGB")
    except BadImage:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on hostile bytes
        raise BadImage(f"not a JPEG, PNG or WebP image: {error}") from error
    if pixels.size != (image_size, image_size):
        pixels = ImageOps.fit(pixels, (image_size, image_size), Image.Resampling.BICUBIC)
    return np.asarray(pixels)


class _Member(NamedTuple):
    name: str
    offset: int
    size: int


class _UnusableError(Exception):
    """Why an example is left out."""


class _DamagedError(Exception):
    """Where a tar stops making sense."""


_NAME = re.compile(r"(?:\./)*((?:.*/)?[^./][^./]*)\.([^/]*)", re.DOTALL)
_SLOTS = dict.fromkeys(("jpg", "jpeg", "png", "webp"), "image") | {
    s: s for s in ("cls", "json", "txt")
}


def _examples(fd: int, path: Path, lost: Mapping[str, list[str]]) -> dict[str, dict[str, _Member]]:
    """id → slot (image, cls, json, txt) → member, of one tar."""
    examples: dict[str, dict[str, _Member]] = {}
    try:
        for member in _walk(fd):
            match = _NAME.fullmatch(member.name)
            if not match:
                continue
            id, suffix = match.groups()
            slots = examples.setdefault(id, {})
            slot = _SLOTS.get(suffix.lower())
            if slot == "image" and slot in slots:
                lost["an id that was there before"].append(f"{path.name}/{id}")
            elif slot:
                slots.setdefault(slot, member)
    except _DamagedError as where:
        lost["the end of a tar that is cut off or damaged"].append(f"{path.name} {where}")
        *_, before, last = {}, {}, *examples.values()
        if not last.keys() >= before.keys():  # else it is whole, as far as anyone can tell
            id, _ = examples.popitem()
            lost["the example in which a tar ends"].append(f"{path.name}/{id}")
    return examples


def _row(fd: int, members: Mapping[str, _Member]) -> tuple[int, int, int, str]:
    if "image" not in members:
        raise _UnusableError("an example without an image")
    _, offset, size = members["image"]
    if size == 0:
        raise _UnusableError("an image of no bytes")
    if size > MAX_IMAGE_BYTES:
        raise _UnusableError(f"an image over {MAX_IMAGE_BYTES} bytes")
    caption = _text(fd, members["txt"]).strip() if "txt" in members else ""
    return offset, size, _label(fd, members), caption


def _label(fd: int, members: Mapping[str, _Member]) -> int:
    try:
        if "cls" in members:
            label = int(_text(fd, members["cls"]))
        elif "json" in members:
            label = json.loads(_text(fd, members["json"])).get("label")
        else:
            label = None
    except (ValueError, AttributeError, RecursionError):
        raise _UnusableError("an unreadable label") from None
    if label is None:
        return -1
    if type(label) is not int or not -1 <= label < 2**63:
        raise _UnusableError("an unreadable label")
    return label


def _text(fd: int, member: _Member) -> str:
    if member.size > MAX_TEXT_BYTES:
        raise _UnusableError(f"a text over {MAX_TEXT_BYTES} bytes")
    return os.pread(fd, member.size, member.offset).decode(errors="replace")


def _walk(fd: int) -> Iterator[_Member]:
    """The regular files up to the end; _DamagedError at the first that is not all there."""
    at, end = 0, os.fstat(fd).st_size
    long: dict[str, str] = {}  # what a pax or GNU header says of the file behind it
    while (block := os.pread(fd, 512, at)) != bytes(512):
        try:
            name, size, kind = _header(block)
            if kind not in b"xgLK":
                name, size = long.get("path", name), int(long.get("size", size))
                long = {}
            body = 0 if kind in b"123456" else size  # links, devices and folders have none
            if not 0 <= body <= end - at - 512:
                raise ValueError
            if kind in b"xL":
                if size > MAX_TEXT_BYTES:
                    raise ValueError
                extra = os.pread(fd, size, at + 512)
                long |= _pax(extra) if kind == b"x" else {"path": _string(extra)}
        except ValueError:
            raise _DamagedError(f"from byte {at} of {end}") from None
        if kind in (b"0", b"\0", b"7"):
            yield _Member(name, at + 512, size)
        at += 512 + -(-body // 512) * 512


def _header(block: bytes) -> tuple[str, int, bytes]:
    """Name, size and type of a tar header. Raises ValueError if it is none."""
    if len(block) < 512 or sum(block) - sum(block[148:156]) + 8 * 32 != _number(block[148:156]):
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
    return field.partition(b"\0")[0].decode(errors="replace")


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
            found[keyword.decode()] = value.decode(errors="replace")
        at += length
    return found
