"""Views for fine-tuning: random regions, RandAugment and random erasing around ``views.py``.

timm draws from Python's, numpy's and torch's global generators, which are seeded here for a moment
and put back as they were. Shapes: B images, S pixels a side.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from raystudy.adapt.finetune import FineTune
from raystudy.crops import random_regions
from raystudy.randomness import generator, number
from raystudy.spec import Preprocessing
from raystudy.views import IMAGENET_MEAN, training_view

Pixels = NDArray[np.uint8]


class Views:
    """Random views of fine-tuning, each step's a function of (seed, step, images): but for
    ``views.training_view``, whose draws continue from step to step."""

    def __init__(self, spec: FineTune, preprocessing: Preprocessing, seed: int) -> None:
        self._spec = spec
        self._preprocessing = preprocessing
        self._seed = seed
        self._drawn = torch.Generator().manual_seed(number(seed, "fine-tune/views"))

    def __call__(self, images_BxHxWx3: Tensor, step: int, device: torch.device) -> Tensor:
        """uint8 → float32 (B, 3, S, S) on ``device``."""
        spec, shown = self._spec, self._preprocessing
        if spec.augmentation.random_crop:
            rng = generator(self._seed, "fine-tune/crop", step)
            area = spec.augmentation.random_crop
            images_BxHxWx3 = random_crops(images_BxHxWx3, area, shown, rng)
            shown = shown.model_copy(update={"crop_share": 1.0})
        if spec.rand_augment:
            seed = number(self._seed, "fine-tune/rand-augment", step)
            images_BxHxWx3 = rand_augment(images_BxHxWx3, spec.rand_augment, shown, seed)
        views = training_view(images_BxHxWx3.to(device), shown, spec.augmentation, self._drawn)
        if spec.erase_rate:
            erase(views, spec.erase_rate, number(self._seed, "fine-tune/erase", step))
        return views


def random_crops(
    images: Tensor,
    area: tuple[float, float],
    preprocessing: Preprocessing,
    rng: np.random.Generator,
) -> Tensor:
    """A random region of each image (``raystudy.crops``), resized: uint8 (B, S, S, 3)."""
    B, H, W = images.shape[:3]
    regions = random_regions(np.full(B, W, np.int32), np.full(B, H, np.int32), area, rng)
    side = (preprocessing.image_size, preprocessing.image_size)
    crops = [
        Image.fromarray(image).resize(side, _resample(preprocessing), (x, y, x + w, y + h))
        for image, (x, y, w, h) in zip(images.numpy(), regions.tolist(), strict=True)
    ]
    return torch.from_numpy(np.stack([np.asarray(crop) for crop in crops]))


def rand_augment(images: Tensor, config: str, preprocessing: Preprocessing, seed: int) -> Tensor:
    """timm's RandAugment (Cubuk et al. 2020, arXiv 1909.13719) of uint8 (B, H, W, 3); same shape.

    Raises AssertionError or ValueError for a ``config`` that timm cannot read.
    """
    mean = preprocessing.mean or IMAGENET_MEAN
    side = min(images.shape[1:3])
    transform = _transform(config, side, mean, _resample(preprocessing))
    with seeded(seed):
        out = [np.asarray(transform(Image.fromarray(image))) for image in images.numpy()]
    return torch.from_numpy(np.stack(out))


def erase(views: Tensor, rate: float, seed: int) -> None:
    """Random erasing by timm, one rectangle of Gaussian noise, in place."""
    from timm.data.random_erasing import RandomErasing

    with seeded(seed):  # noise from the CPU's generator: the same on any device
        RandomErasing(rate, mode="pixel", device="cpu")(views)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The global generators of Python, numpy and torch's CPU begin at ``seed``, for the block."""
    python, arrays = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            random.seed(seed)
            np.random.seed(seed % 2**32)
            torch.default_generator.manual_seed(seed)
            yield
        finally:
            random.setstate(python)
            np.random.set_state(arrays)


@lru_cache(maxsize=8)
def _transform(
    config: str, side: int, mean: tuple[float, ...], resample: Image.Resampling
) -> Callable[[Image.Image], Image.Image]:
    """With the parameters that ``timm.data.create_transform`` gives it."""
    from timm.data.auto_augment import rand_augment_transform

    hparams = {
        "translate_const": int(side * 0.45),
        "img_mean": tuple(min(255, round(255 * m)) for m in mean),
        "interpolation": resample,
    }
    return rand_augment_transform(f"rand-{config}", hparams)


def _resample(preprocessing: Preprocessing) -> Image.Resampling:
    bicubic = preprocessing.interpolation == "bicubic"
    return Image.Resampling.BICUBIC if bicubic else Image.Resampling.BILINEAR
