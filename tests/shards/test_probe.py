import io
from struct import pack
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from raystudy.shards import probe as probing
from raystudy.shards.probe import probe
from raystudy.shards.table import Fault

NOISE = np.random.default_rng(0).integers(0, 255, (256, 256, 4), dtype=np.uint8)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + pack(">H", 2 + len(body)) + body


@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    kind=st.sampled_from(
        [
            ("JPEG", "RGB", {}),
            ("JPEG", "L", {"progressive": True}),
            ("JPEG", "CMYK", {}),
            ("JPEG", "RGB", {"icc_profile": bytes(150_000), "exif": b"Exif\0\0" + bytes(5000)}),
            ("PNG", "RGBA", {}),
            ("PNG", "P", {}),
            ("PNG", "1", {"icc_profile": bytes(9000)}),
            ("WEBP", "RGB", {}),
            ("WEBP", "RGBA", {"lossless": True}),
            ("WEBP", "RGBA", {}),
            ("WEBP", "RGB", {"exif": b"Exif\0\0" + bytes(99)}),
        ]
    ),
)
@settings(max_examples=150, deadline=None)
def test_the_size_is_what_pillow_says(
    width: int, height: int, kind: tuple[str, str, dict[str, object]]
) -> None:
    format, mode, options = kind
    data = encoded(Image.new("RGB", (width, height), "red").convert(mode), format, **options)
    assert probe(data) == Image.open(io.BytesIO(data)).size == (width, height)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@given(
    at=st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), min_size=1, max_size=3),
    keep=st.floats(0.3, 1),
)
@settings(max_examples=300, deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_what_pillow_can_decode_is_never_refused(
    format: str, at: list[tuple[int, int]], keep: float
) -> None:
    data = bytearray(encoded(Image.linear_gradient("L").resize((40, 30)), format))
    for place, value in at:
        data[place % len(data)] = value
    whole = bytes(data[: int(keep * len(data))])
    try:
        with Image.open(io.BytesIO(whole), formats=("JPEG", "PNG", "WEBP")) as image:
            image.load()
    except Exception:
        return
    if image.width * image.height <= probing.MAX_PIXELS:
        assert probe(whole) == image.size


def test_stray_bytes_padding_and_restarts_are_skipped_as_decoders_do() -> None:
    data = encoded(Image.new("RGB", (33, 44)), "JPEG")
    stray = data[:2] + segment(0xE5, b"\xff\xc0\0\x11" * 9) + b"\xff\xd0" + b"\xff\xff\xff"
    stray += b"\x00junk" + data[2:]
    assert probe(stray) == Image.open(io.BytesIO(data)).size


@pytest.mark.parametrize(
    "data",
    [
        b"GIF89a" + bytes(30),
        b"<html>",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8" + segment(0xE0, b"JFIF") + b"\xff\xda" + bytes(50),
        b"\xff\xd8" + segment(0xC0, b"\x08\0\0\0\x10\x03") + segment(0xDA, b"\0"),
        b"\xff\xd8" + segment(0xC0, b"\x08\0\x10\0\x10\x03"),
        b"\xff\xd8" + segment(0xE1, b"") * 200_000,
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\0\0\0\0WEBP",
        b"RIFF\0\0\0\0WEBPVP8X",
        b"RIFF\0\0\0\0WEBPVP8 " + bytes(40),
        b"RIFF\0\0\0\0WEBPALPH" + bytes(40),
    ],
)
def test_what_is_no_image_is_told(data: bytes) -> None:
    assert probe(data) is Fault.NOT_AN_IMAGE


def test_a_png_with_a_damaged_header_or_no_pixels_is_no_image() -> None:
    data = encoded(Image.new("RGB", (5, 6)), "PNG")
    assert probe(data) == (5, 6)
    assert probe(data[:33]) is Fault.NOT_AN_IMAGE
    assert probe(data[:18] + b"\x01" + data[19:]) is Fault.NOT_AN_IMAGE


def bomb(width: int, height: int) -> bytes:
    header = b"IHDR" + pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + header + pack(">I", crc32(header)) + b"\0\0\0\1IDATx"


def test_bounds() -> None:
    assert probe(b"") is Fault.EMPTY_IMAGE
    assert probe(bytes(probing.MAX_IMAGE_BYTES + 1)) is Fault.LARGE_FILE
    assert probe(bomb(8192, 8192)) == (8192, 8192)
    assert probe(bomb(8192, 8193)) is Fault.TOO_MANY_PIXELS
    assert probe(bomb(2**31 - 1, 2**31 - 1)) is Fault.TOO_MANY_PIXELS


@pytest.mark.timeout(20)
@pytest.mark.parametrize("unit", [b"\xff", b"\xff\x00", b"\x00", b"\xff\xe0\0\0", b"\xff\xd0"])
def test_the_longest_file_is_read_once(unit: bytes) -> None:
    """Which takes a second; looking at a byte again from every other would take days."""
    longest = b"\xff\xd8\xff" + unit * ((probing.MAX_IMAGE_BYTES - 8) // len(unit))
    assert probe(longest) is Fault.NOT_AN_IMAGE
