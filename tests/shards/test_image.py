"""Decoded pixels against Pillow's, at every scale a JPEG can be decoded at."""

import io
import warnings
from struct import pack
from zlib import crc32

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from raystudy.shards.image import BadImage, Region, decode


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def photograph(width: int = 640, height: int = 480, seed: int = 0) -> Image.Image:
    """A spectrum like a photograph's, so that a comparison says something of photographs."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    phases = np.exp(2j * np.pi * rng.random((3, *frequency.shape)))
    waves = np.fft.irfft2(phases / frequency**1.4, (height, width))
    pixels = 128 + 45 * waves / waves.std()
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8).transpose(1, 2, 0))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


@pytest.mark.parametrize(
    ("side", "least"), [(16, 31), (32, 33), (64, 35), (96, 37), (224, 40), (300, 40), (448, 40)]
)
@pytest.mark.parametrize("region", [None, Region(33, 17, 571, 400), Region(100, 200, 150, 190)])
def test_a_jpeg_is_what_pillow_decodes_in_full(side: int, least: float, region) -> None:
    data = encoded(photograph(), "JPEG", quality=90)
    box = region or Region(80, 0, 480, 480)
    full = Image.open(io.BytesIO(data))
    left, top, w, h = box
    reference = full.resize(
        (side, side), Image.Resampling.BILINEAR, box=(left, top, left + w, top + h)
    )
    assert psnr(decode(data, side, region), np.asarray(reference)) > least


def test_pixels_arrive_where_they_are_wanted() -> None:
    out = np.zeros((3, 24, 24, 3), np.uint8)
    decode(encoded(photograph(), "JPEG"), 24, None, out[1])
    assert out[1].std() > 0
    assert not out[[0, 2]].any()


@given(pixels=st.binary(min_size=12 * 12 * 3, max_size=12 * 12 * 3))
@settings(max_examples=20, deadline=None)
def test_lossless_images_of_the_right_size_come_back_exactly(pixels: bytes) -> None:
    image = Image.frombytes("RGB", (12, 12), pixels)
    for format, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True})):
        np.testing.assert_array_equal(
            decode(encoded(image, format, **options), 12), np.asarray(image)
        )


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK", "1", "RGB"])
@pytest.mark.parametrize("size", [(40, 60), (60, 40), (16, 16), (3, 200)])
def test_any_mode_and_size_becomes_square_rgb(mode: str, size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, "white").convert(mode)
    pixels = decode(encoded(image, "JPEG" if mode in ("CMYK", "L") else "PNG"), 16)
    assert pixels.shape == (16, 16, 3)
    assert pixels.dtype == np.uint8
    assert pixels.min() >= 250


def test_progressive_jpegs_are_jpegs() -> None:
    plain = decode(encoded(photograph(), "JPEG", quality=90), 64)
    progressive = decode(encoded(photograph(), "JPEG", quality=90, progressive=True), 64)
    assert np.abs(plain.astype(int) - progressive).max() <= 1


def test_the_centre_is_kept() -> None:
    image = Image.new("RGB", (96, 32), (255, 0, 0))
    image.paste((0, 0, 255), (32, 0, 64, 32))
    middle = decode(encoded(image), 32)
    assert (middle == (0, 0, 255)).all()


def test_a_region_beyond_the_image_is_refused() -> None:
    for region in (Region(30, 0, 20, 20), Region(0, 0, 10, 41), Region(0, 0, 0, 5)):
        with pytest.raises(BadImage, match="fewer than its header said"):
            decode(encoded(Image.new("RGB", (40, 40))), 8, region)


def bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return pack(">I", len(data)) + kind + data + pack(">I", crc32(kind + data))

    header = pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")
    )


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(9000, 9000), (100_000, 100_000), (2**31 - 1, 2**31 - 1)])
def test_too_many_pixels_are_refused_by_the_header(size: tuple[int, int]) -> None:
    with pytest.raises(BadImage, match="pixels"):
        decode(bomb(*size), 32)


def test_a_jpeg_of_too_many_pixels_is_refused_by_its_header() -> None:
    data = bytearray(encoded(Image.new("RGB", (16, 16)), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    with pytest.raises(BadImage, match="pixels"):
        decode(bytes(data), 32)


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(BadImage):
        decode(data, 32)


@given(
    format=st.sampled_from(["PNG", "JPEG", "WEBP"]),
    at=st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 255)), max_size=4),
    keep=st.floats(0.1, 1),
)
@settings(max_examples=200, deadline=None)
def test_damaged_images_are_refused_or_square(
    format: str, at: list[tuple[int, int]], keep: float
) -> None:
    data = bytearray(encoded(Image.linear_gradient("L").resize((20, 20)), format))
    for place, value in at:
        data[place % len(data)] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            pixels = decode(bytes(data[: int(keep * len(data))]), 16)
        except BadImage:
            return
    assert pixels.shape == (16, 16, 3)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [60, 95])
def test_what_lies_below_the_region_changes_no_pixel(subsampling: int, quality: int) -> None:
    """Decoding stops below the region; a progressive JPEG of the same coefficients cannot."""
    image = photograph(333, 251)
    options = {"quality": quality, "subsampling": subsampling}
    whole = encoded(image, "JPEG", **options)
    for bottom in (*range(17, 251, 13), 31, 32, 33, 240, 251):
        region = Region(5, bottom - 17, 300, 17)
        full = np.asarray(Image.open(io.BytesIO(whole)))[region.top : bottom, 5:305]
        part = cv2.resize(full, (96, 96), interpolation=cv2.INTER_LINEAR)
        assert np.abs(decode(whole, 96, region).astype(int) - part).max() <= 2, bottom


def test_a_jpeg_cut_off_below_the_region_is_damaged_all_the_same() -> None:
    data = encoded(photograph(), "JPEG", quality=90)
    top = Region(0, 0, 600, 100)
    decode(data, 32, top)
    with pytest.raises(BadImage):
        decode(data[: int(0.9 * len(data))], 32, top)
