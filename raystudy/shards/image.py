"""Compressed bytes become exactly the pixels a view needs.

The view is chosen first. A JPEG is then decoded at the smallest of libjpeg's scales (1, 1/2, 1/4,
1/8 of a side, by its inverse DCT of fewer coefficients) that leaves the region no smaller than the
image asked for, no further than the region's last row, and only that region is resized.
"""

from __future__ import annotations

import io
from typing import NamedTuple

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from raystudy.shards.probe import MAX_PIXELS

SCALES = (8, 4, 2)
MCU_ROWS = 16
"""Most rows that a JPEG decodes together; with subsampled colour they look at the next row, too."""
ALIASES = 1.3
"""Shrinking by less than this, bilinear does as well as averaging areas, in a third of the time."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")

cv2.setNumThreads(1)  # whoever decodes many images runs many decoders


class BadImage(ValueError):  # noqa: N818
    """Bytes that are no whole image within bounds."""


class Region(NamedTuple):
    """A rectangle of an image, in its pixels."""

    left: int
    top: int
    width: int
    height: int


def decode(
    data: bytes,
    image_size: int,
    region: Region | None = None,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """RGB pixels (image_size, image_size, 3) of ``region``, by default of the largest square in
    the middle, written to ``out`` if given. Transparency is dropped, EXIF orientation ignored.
    Raises BadImage."""
    if out is None:
        out = np.empty((image_size, image_size, 3), dtype=np.uint8)
    scaled, by, (left, top, w, h) = _pixels(data, image_size, region)
    # The same region among fewer pixels; never empty, never beyond the edge.
    part = scaled[
        top // by : max(top // by + 1, round((top + h) / by)),
        left // by : max(left // by + 1, round((left + w) / by)),
    ]
    if part.shape == out.shape:
        out[:] = part
    else:
        # Averaging areas does not alias; where nothing would, bilinear is the faster one.
        rows, columns, _ = part.shape
        shrinks = min(rows, columns) >= image_size and max(rows, columns) > ALIASES * image_size
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        cv2.resize(part, (image_size, image_size), dst=out, interpolation=how)
    return out


def decode_whole(data: bytes) -> NDArray[np.uint8]:
    """RGB pixels (H, W, 3) of a whole image in its own size. As Pillow's ``convert("RGB")`` has it:
    transparency is dropped, of an animation the first frame is taken; EXIF orientation is ignored.
    Beside JPEG, PNG and WebP also GIF and BMP, which hide in data sets under other suffixes.
    Raises BadImage."""
    if data[:2] == b"\xff\xd8":
        try:
            height, width = map(int, simplejpeg.decode_jpeg_header(data)[:2])
            _within(None, width, height)
            return simplejpeg.decode_jpeg(data, "RGB")
        except BadImage:
            raise
        except ValueError:
            pass  # CMYK, say, or a harmless fault, which Pillow forgives
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _within(None, image.width, image.height)
            return np.array(image.convert("RGB"))
    except BadImage:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on hostile bytes
        raise BadImage(f"not a whole {', '.join(FORMATS)} image: {error}") from error


def _pixels(
    data: bytes, image_size: int, region: Region | None
) -> tuple[NDArray[np.uint8], int, Region]:
    """Rows of the image down to the region's last or beyond, by how much they are scaled down, and
    the region."""
    if data[:2] == b"\xff\xd8":
        try:
            height, width = map(int, simplejpeg.decode_jpeg_header(data)[:2])
            region = _within(region, width, height)
            least = min(region.width, region.height)
            by = next((k for k in SCALES if least >= image_size * k), 1)
            height, data, strict = _down_to(region.top + region.height, height, data)
            pixels = simplejpeg.decode_jpeg(
                data, "RGB", min_height=-(-height // by), min_width=-(-width // by), strict=strict
            )
            return pixels, by, region
        except BadImage:
            raise
        except ValueError:
            pass  # CMYK, say, or a harmless fault, which Pillow forgives
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as image:
            region = _within(region, image.width, image.height)
            return np.asarray(image.convert("RGB")), 1, region
    except BadImage:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on hostile bytes
        raise BadImage(f"not a JPEG, PNG or WebP image: {error}") from error


def _down_to(bottom: int, height: int, data: bytes) -> tuple[int, bytes, bool]:
    """A JPEG's height, bytes, and whether it must be without any fault, such that decoding it need
    not go on below row ``bottom``: a baseline JPEG decodes from top to bottom, as far as the height
    in its header says (ITU-T T.81, B.2.2).

    What is left over is a fault to libjpeg, so that faults must be allowed then; a JPEG that is
    cut off is therefore left as it is.
    """
    rows = (bottom // MCU_ROWS + 1) * MCU_ROWS
    if rows >= height or not data.endswith(b"\xff\xd9"):
        return height, data, True
    at = 2
    while data[at] == 0xFF and 0xC4 <= data[at + 1] <= 0xFE:  # tables and comments
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    if data[at : at + 2] != b"\xff\xc0":
        return height, data, True
    return rows, data[: at + 5] + rows.to_bytes(2) + data[at + 7 :], False


def _within(region: Region | None, width: int, height: int) -> Region:
    """``region``, or the largest square in the middle. Raises BadImage if it is not inside."""
    if width * height > MAX_PIXELS:
        raise BadImage(f"{width} × {height} is over {MAX_PIXELS} pixels")
    left, top, w, h = found = region or _middle(width, height)
    if left + w > width or top + h > height or w <= 0 or h <= 0:
        raise BadImage(f"{width} × {height} pixels, fewer than its header said")
    return found


def _middle(width: int, height: int) -> Region:
    side = min(width, height)
    return Region((width - side) // 2, (height - side) // 2, side, side)
