"""Width and height of an image as its header says, without decoding it.

Microseconds an image, so that indexing reads at the speed of the disk. What is refused here could
not be decoded either; what passes may still turn out to be damaged when it is.

Formats: ITU-T T.81 annex B (JPEG), https://www.w3.org/TR/png-3/ (PNG), RFC 9649 (WebP).
"""

from __future__ import annotations

import re
from zlib import crc32

from raystudy.shards.table import Fault

MAX_IMAGE_BYTES = 64 << 20
MAX_PIXELS = 64 << 20
MAX_JPEG_SEGMENTS = 4096
"""Before the frame header. An ICC profile takes at most 255, long XMP one each 64 KB."""


def probe(data: bytes) -> tuple[int, int] | Fault:
    """Width and height in pixels of a JPEG, PNG or WebP, whatever its name; EXIF orientation is
    ignored. Otherwise why it is of no use: EMPTY_IMAGE, LARGE_FILE (over ``MAX_IMAGE_BYTES``),
    NOT_AN_IMAGE, TOO_MANY_PIXELS (over ``MAX_PIXELS``)."""
    if not data:
        return Fault.EMPTY_IMAGE
    if len(data) > MAX_IMAGE_BYTES:
        return Fault.LARGE_FILE
    if data[:3] == b"\xff\xd8\xff":
        size = _jpeg(data)
    elif data[:8] == b"\x89PNG\r\n\x1a\n":
        size = _png(data)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        size = _webp(data)
    else:
        return Fault.NOT_AN_IMAGE
    width, height = size
    if width == 0 or height == 0:
        return Fault.NOT_AN_IMAGE
    return size if width * height <= MAX_PIXELS else Fault.TOO_MANY_PIXELS


# Decoders skip what is no marker: stray bytes, 0xFF00 (stuffing), more than one 0xFF (padding).
_MARKER = re.compile(rb"\xff[^\x00\xff]", re.DOTALL)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset([0x01, *range(0xD0, 0xD8)])
_NO_FRAME_FOLLOWS = frozenset([0xD8, 0xD9, 0xDA])
_NOTHING = (0, 0)


def _jpeg(data: bytes) -> tuple[int, int]:
    """From the frame header (SOFn), if a scan (SOS) comes after it."""
    at = 2
    for _ in range(MAX_JPEG_SEGMENTS):
        found = _MARKER.search(data, at)
        if found is None:
            return _NOTHING
        at = found.end()
        marker = data[at - 1]
        if marker in _FRAMES:
            # length 2, precision 1, height 2, width 2; a height of 0 is told after the first
            # scan (DNL), which no common decoder reads.
            height, width = data[at + 3 : at + 5], data[at + 5 : at + 7]
            if len(width) < 2 or data.find(b"\xff\xda", at + 7) < 0:
                return _NOTHING
            return int.from_bytes(width), int.from_bytes(height)
        if marker in _NO_FRAME_FOLLOWS:
            return _NOTHING
        if marker not in _ALONE:
            at += max(2, int.from_bytes(data[at : at + 2]))
    return _NOTHING


def _png(data: bytes) -> tuple[int, int]:
    """From IHDR, which comes first, if it is as it was written and pixels (IDAT) follow."""
    if data[8:16] != b"\x00\x00\x00\x0dIHDR" or int.from_bytes(data[29:33]) != crc32(data[12:29]):
        return _NOTHING
    if data.find(b"IDAT", 33) < 0:
        return _NOTHING
    return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])


def _webp(data: bytes) -> tuple[int, int]:
    """From the first chunk: lossy, lossless, or the canvas of an extended file."""
    match data[12:16]:
        case b"VP8 " if data[23:26] == b"\x9d\x01\x2a" and len(data) >= 30:
            return _little(data[26:28]) & 0x3FFF, _little(data[28:30]) & 0x3FFF
        case b"VP8L" if data[20:21] == b"/" and len(data) >= 25:
            bits = _little(data[21:25])
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8X" if len(data) >= 30:
            return 1 + _little(data[24:27]), 1 + _little(data[27:30])
    return _NOTHING


def _little(field: bytes) -> int:
    return int.from_bytes(field, "little")
