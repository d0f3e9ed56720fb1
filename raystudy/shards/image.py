"""Compressed bytes become exactly the pixels a view needs.

The view is chosen first. A JPEG is then decoded at the smallest of libjpeg's scales (1, 1/2, 1/4,
1/8 of a side, by its inverse DCT of fewer coefficients) that leaves the region no smaller than the
image asked for, and only that region is resized.
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
    full, scaled = _pixels(data, image_size, region)
    width, height = full
    left, top, w, h = region or _middle(width, height)
    if left + w > width or top + h > height or w <= 0 or h <= 0:
        raise BadImage(f"{width} × {height} pixels, fewer than its header said")
    # The same region among fewer pixels; never empty, never beyond the edge.
    y, x = scaled.shape[0] / height, scaled.shape[1] / width
    part = scaled[
        int(top * y) : max(int(top * y) + 1, round((top + h) * y)),
        int(left * x) : max(int(left * x) + 1, round((left + w) * x)),
    ]
    if part.shape == out.shape:
        out[:] = part
    else:
        # Averaging areas does not alias; for enlarging, OpenCV's is slow and bilinear the same.
        shrinks = part.shape[0] >= image_size and part.shape[1] >= image_size
        by = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        cv2.resize(part, (image_size, image_size), dst=out, interpolation=by)
    return out


def _pixels(
    data: bytes, image_size: int, region: Region | None
) -> tuple[tuple[int, int], NDArray[np.uint8]]:
    """Width and height of the image, and all of it, maybe scaled down."""
    if data[:2] == b"\xff\xd8":
        try:
            height, width = map(int, simplejpeg.decode_jpeg_header(data)[:2])
            _bound(width, height)
            *_, w, h = region or _middle(width, height)
            by = next((k for k in SCALES if min(w, h) >= image_size * k), 1)
            pixels = simplejpeg.decode_jpeg(
                data, "RGB", min_height=-(-height // by), min_width=-(-width // by)
            )
            return (width, height), pixels
        except BadImage:
            raise
        except ValueError:
            pass  # CMYK, say, or a harmless fault, which Pillow forgives
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as image:
            _bound(image.width, image.height)
            return image.size, np.asarray(image.convert("RGB"))
    except BadImage:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on hostile bytes
        raise BadImage(f"not a JPEG, PNG or WebP image: {error}") from error


def _middle(width: int, height: int) -> Region:
    side = min(width, height)
    return Region((width - side) // 2, (height - side) // 2, side, side)


def _bound(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise BadImage(f"{width} × {height} is over {MAX_PIXELS} pixels")
