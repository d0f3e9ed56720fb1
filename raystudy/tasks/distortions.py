"""What each corruption does to an image (``raystudy.tasks.corruptions`` has their settings).

Each function maps pixels (H, W, 3), float64 in [0, 1], to others of the same shape, which the
caller clips. It draws from the generator that it is given and from nothing else.
"""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.float64]
Plane = NDArray[np.float64]
"""(H, W)."""
Rng = np.random.Generator
LUMINANCE = np.array([0.299, 0.587, 0.114])
FROST_COLOUR = np.array([0.82, 0.91, 1.0])


def gaussian_noise(x: Pixels, deviation: float, rng: Rng) -> Pixels:
    return x + rng.normal(scale=deviation, size=x.shape)


def shot_noise(x: Pixels, photons: float, rng: Rng) -> Pixels:
    return rng.poisson(x * photons) / photons


def impulse_noise(x: Pixels, share: float, rng: Rng) -> Pixels:
    """Salt and pepper, each channel by itself."""
    hit, salt = rng.random(x.shape) <= share, rng.random(x.shape) <= 0.5
    return np.where(hit, salt.astype(np.float64), x)


def defocus_blur(x: Pixels, setting: tuple[float, float], rng: Rng) -> Pixels:
    import cv2

    radius, edge = setting
    reach = np.arange(-max(8, radius), max(8, radius) + 1)
    disk = (reach[:, None] ** 2 + reach**2 <= radius**2).astype(np.float32)
    size = (3, 3) if radius <= 8 else (5, 5)
    kernel = cv2.GaussianBlur(disk / disk.sum(), ksize=size, sigmaX=edge)
    return np.asarray(cv2.filter2D(x, -1, kernel), np.float64)


def glass_blur(x: Pixels, setting: tuple[float, int, int], rng: Rng) -> Pixels:
    """Pixels take the place of neighbours. The published code means to swap two and copies one, as
    does this."""
    deviation, reach, rounds = setting
    height, width = x.shape[:2]
    source = list(range(height * width))
    for _ in range(rounds):
        rows, columns = range(height - reach, reach, -1), range(width - reach, reach, -1)
        away = rng.integers(-reach, reach, size=(len(rows), len(columns), 2))
        steps = (away[..., 0] * width + away[..., 1]).tolist()
        for row, of_row in zip(rows, steps, strict=True):
            for column, step in zip(columns, of_row, strict=True):
                here = row * width + column
                source[here] = source[here + step]
    blurred = np.floor(_blurred(x, deviation) * 255) / 255
    return _blurred(blurred.reshape(-1, 3)[source].reshape(x.shape), deviation)


def motion_blur(x: Pixels, setting: tuple[float, float], rng: Rng) -> Pixels:
    return _moved(x, *setting, rng.uniform(-45, 45))


def zoom_blur(x: Pixels, setting: tuple[float, float], rng: Rng) -> Pixels:
    factors = np.arange(1, *setting)
    return (x + np.sum([_zoomed(x, factor) for factor in factors], axis=0)) / (len(factors) + 1)


def snow(x: Pixels, setting: tuple[float, ...], rng: Rng) -> Pixels:
    mean, deviation, size, threshold, radius, fall, left = setting
    flakes = _zoomed(rng.normal(mean, deviation, x.shape[:2])[..., None], size)
    flakes = np.where(flakes < threshold, 0, flakes).clip(0, 1)
    falling = _moved(flakes, radius, fall, rng.uniform(-135, -45))
    pale = np.maximum(x, (x @ LUMINANCE)[..., None] * 1.5 + 0.5)
    return left * x + (1 - left) * pale + falling + falling[::-1, ::-1]


def frost(x: Pixels, setting: tuple[float, float], rng: Rng) -> Pixels:
    """Ridges between two clouds, as ice grows along them; published are crops of photographs."""
    of_image, of_frost = setting
    height, width = x.shape[:2]
    fine, coarse = (_cloud(max(height, width), decay, rng)[:height, :width] for decay in (1.3, 2))
    ridges = np.maximum(1 - np.abs(2 * fine - 1), 1 - np.abs(2 * coarse - 1)) ** 3
    ice = 0.15 + 0.85 * ridges
    return of_image * x + of_frost * ice[..., None] * FROST_COLOUR


def fog(x: Pixels, setting: tuple[float, float], rng: Rng) -> Pixels:
    amount, decay = setting
    height, width = x.shape[:2]
    top = x.max()
    cloud = _cloud(max(height, width), decay, rng)[:height, :width, None]
    return (x + amount * cloud) * top / (top + amount)


def brightness(x: Pixels, more: float, rng: Rng) -> Pixels:
    """Adds to the value of HSV; hue and saturation stay."""
    value = x.max(axis=2, keepdims=True)
    raised = (value + more).clip(0, 1)
    return np.where(value > 0, x * raised / np.where(value > 0, value, 1), raised)


def contrast(x: Pixels, share: float, rng: Rng) -> Pixels:
    means = x.mean(axis=(0, 1), keepdims=True)
    return (x - means) * share + means


def elastic_transform(x: Pixels, setting: tuple[float, float, float], rng: Rng) -> Pixels:
    """An affine map, then a smooth displacement of each pixel."""
    import cv2
    from scipy.ndimage import gaussian_filter, map_coordinates

    strength, smoothness, reach = setting
    height, width = x.shape[:2]
    middle, third = np.array([height, width], np.float32) // 2, min(height, width) // 3
    corners = np.array([[third, third], [third, -third], [-third, -third]], np.float32) + middle
    moved = corners + rng.uniform(-reach, reach, size=corners.shape).astype(np.float32)
    affine = cv2.getAffineTransform(corners, moved)
    warped = cv2.warpAffine(x, affine, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    down, right = (
        strength
        * gaussian_filter(
            rng.uniform(-1, 1, size=(height, width)), smoothness, mode="reflect", truncate=3
        )
        for _ in range(2)
    )
    rows, columns = np.mgrid[:height, :width]
    where = np.stack([rows + down, columns + right])
    planes = [map_coordinates(warped[..., c], where, order=1, mode="reflect") for c in range(3)]
    return np.stack(planes, axis=2)


def pixelate(x: Pixels, share: float, rng: Rng) -> Pixels:
    picture = _picture(x)
    few = (max(1, int(picture.width * share)), max(1, int(picture.height * share)))
    coarse = picture.resize(few, Image.Resampling.BOX)
    return np.asarray(coarse.resize(picture.size, Image.Resampling.BOX)) / 255


def jpeg_compression(x: Pixels, quality: int, rng: Rng) -> Pixels:
    data = io.BytesIO()
    _picture(x).save(data, "JPEG", quality=quality)
    return np.asarray(Image.open(data)) / 255


def _picture(x: Pixels) -> Image.Image:
    return Image.fromarray(np.rint(x * 255).astype(np.uint8))


def _blurred(x: Pixels, deviation: float) -> Pixels:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(x, (deviation, deviation, 0), mode="nearest")


def _moved(x: Pixels, radius: float, deviation: float, degrees: float) -> Pixels:
    """The mean of (H, W, C) along a half-Gaussian streak, as ImageMagick's motion blur takes it:
    2 radius + 1 pixels, each the nearest to the line; beyond the edge, the edge."""
    width = 2 * math.ceil(radius) + 1
    weights = np.exp(-(np.arange(width) ** 2) / (2 * deviation**2))
    angle = math.radians(degrees)
    padded = np.pad(x, ((width, width), (width, width), (0, 0)), mode="edge")
    height, breadth = x.shape[:2]
    total = np.zeros_like(x)
    for i, weight in enumerate(weights / weights.sum()):
        top = width + math.ceil(i * math.sin(angle) - 0.5)
        left = width + math.ceil(i * math.cos(angle) - 0.5)
        total += weight * padded[top : top + height, left : left + breadth]
    return total


def _zoomed(x: Pixels, factor: float) -> Pixels:
    """The middle of (H, W, C), enlarged to the whole."""
    from scipy.ndimage import zoom

    height, width = x.shape[:2]
    tall, wide = math.ceil(height / factor), math.ceil(width / factor)
    top, left = (height - tall) // 2, (width - wide) // 2
    part = x[top : top + tall, left : left + wide]
    part = np.asarray(zoom(part, (factor, factor, 1), order=1), np.float64)
    top, left = (part.shape[0] - height) // 2, (part.shape[1] - width) // 2
    return part[top : top + height, left : left + width]


def _cloud(side: int, decay: float, rng: Rng) -> Plane:
    """A plasma fractal (diamond–square, on a torus) at least ``side`` a side, from 0 to 1. Each
    finer grid has less of its own, by ``decay``."""
    side = 1 << math.ceil(math.log2(max(2, side)))
    plane = np.zeros((side, side))
    step, roughness = side, 100.0

    def between(total: Plane) -> Plane:
        return total / 4 + roughness * rng.uniform(-roughness, roughness, total.shape)

    while step >= 2:
        half = step // 2
        corners = plane[::step, ::step]
        square = corners + np.roll(corners, -1, axis=0)
        plane[half::step, half::step] = between(square + np.roll(square, -1, axis=1))
        middles, corners = plane[half::step, half::step], plane[::step, ::step]
        above = middles + np.roll(middles, 1, axis=0) + corners + np.roll(corners, -1, axis=1)
        beside = middles + np.roll(middles, 1, axis=1) + corners + np.roll(corners, -1, axis=0)
        plane[::step, half::step] = between(above)
        plane[half::step, ::step] = between(beside)
        step, roughness = half, roughness / decay
    plane -= plane.min()
    return plane / plane.max()
