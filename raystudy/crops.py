"""Which region of an image a training view shows: drawn before a pixel is decoded.

RandomResizedCrop (Szegedy et al. 2015, arXiv 1409.4842): a share of the area, an aspect ratio, and
a place, all at random; pure in the generator, vectorised over a chunk.
"""

import math

import numpy as np
from numpy.typing import NDArray

ASPECTS = (3 / 4, 4 / 3)
NUM_TRIES = 10
"""Drawings before the largest region in the middle is taken, as torchvision does."""


def random_regions(
    widths: NDArray[np.int32],
    heights: NDArray[np.int32],
    area: tuple[float, float],
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """One region for each of N images: (N, 4) as left, top, width, height in pixels.

    ``area`` is the closed range of the share of the image's area.
    """
    N = len(widths)
    draws_NxTx2, place_Nx2 = generator.random((N, NUM_TRIES, 2)), generator.random((N, 2))
    W, H = widths.astype(np.float64)[:, None], heights.astype(np.float64)[:, None]
    target = W * H * (area[0] + (area[1] - area[0]) * draws_NxTx2[..., 0])
    low, high = (math.log(a) for a in ASPECTS)
    ratio = np.exp(low + (high - low) * draws_NxTx2[..., 1])
    w, h = np.rint(np.sqrt(target * ratio)), np.rint(np.sqrt(target / ratio))
    fits = (w >= 1) & (h >= 1) & (w <= W) & (h <= H)
    first, rows = fits.argmax(1), np.arange(N)
    w, h, found = w[rows, first], h[rows, first], fits[rows, first]
    W, H = W[:, 0], H[:, 0]
    w = np.where(found, w, np.minimum(W, np.maximum(1, np.rint(H * ASPECTS[1]))))
    h = np.where(found, h, np.minimum(H, np.maximum(1, np.rint(W / ASPECTS[0]))))
    left, top = np.floor(place_Nx2 * np.stack([W - w + 1, H - h + 1], 1)).T
    left, top = np.where(found, left, (W - w) // 2), np.where(found, top, (H - h) // 2)
    return np.stack([left, top, w, h], 1).astype(np.int64)
