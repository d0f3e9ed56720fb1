"""Examples in torch: what a backbone sees of them in evaluation and in training.

Shapes: B images, C channels, S pixels a side. Legend of suffixes: ``images_BxSxSxC`` are uint8 as
they travel; ``views_BxCxSxS`` are float32 as a backbone takes them.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from raystudy.kinds import Images, Network
from raystudy.spec import Architecture, Augmentation, Preprocessing

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
READERS = 4
"""Images on disk that are read at once."""


def evaluation_view(images_BxSxSxC: Tensor, preprocessing: Preprocessing) -> Tensor:
    """The image as ``preprocessing`` asks, with nothing random. (B, H, W, 3) uint8 → (B, 3, S, S)
    float32, channels last in memory."""
    return _standardise(_to_float(images_BxSxSxC, preprocessing), preprocessing)


def training_view(
    images_BxSxSxC: Tensor,
    preprocessing: Preprocessing,
    augmentation: Augmentation,
    generator: torch.Generator,
) -> Tensor:
    """A random view of each image; same shapes as ``evaluation_view``."""
    views = _to_float(images_BxSxSxC, preprocessing)
    views = _affine(views, augmentation, generator)
    if augmentation.low_resolution:
        views = _low_resolution(views, augmentation.low_resolution, generator)
    return _standardise(views, preprocessing)


def training_example(
    inputs: Tensor,
    labels: Tensor,
    network: Network,
    augmentation: Augmentation,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """What a network reads of examples, and what it is to say of them: a random view of images
    uint8 (B, S, S, 3) with their labels (B,); of contexts uint16 (B, T + 1) the first T tokens and
    the T that follow each, int64 (B, T)."""
    if isinstance(network, Architecture):
        return training_view(inputs, network.preprocessing, augmentation, generator), labels
    tokens = inputs.long()
    return tokens[:, :-1], tokens[:, 1:]


def shown(
    images: NDArray[Any] | Images, rows: NDArray[np.int64], preprocessing: Preprocessing
) -> Tensor:
    """The evaluation views of some images, be they in memory or on disk. (B, 3, S, S) float32.

    Raises OSError or ValueError, naming the file, for one that cannot be read.
    """
    if not isinstance(images, Images):
        return evaluation_view(torch.from_numpy(np.ascontiguousarray(images[rows])), preprocessing)

    def one(row: int) -> Tensor:
        return evaluation_view(torch.from_numpy(images.read(row)[None]), preprocessing)

    with ThreadPoolExecutor(READERS) as pool:
        return torch.cat(list(pool.map(one, rows.tolist())))


def squares(images: NDArray[Any] | Images, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Images as an array (N, R, R, 3) of which ``evaluation_view`` shows what it shows of the
    images themselves, up to rounding: resized, their middle squares. Those in memory come back as
    they are."""
    if not isinstance(images, Images):
        return images
    side = math.floor(preprocessing.image_size / preprocessing.crop_share)
    whole = preprocessing.model_copy(update={"image_size": side, "crop_share": 1.0})
    out = np.empty((len(images), side, side, 3), np.uint8)

    def one(row: int) -> None:
        pixels = torch.from_numpy(images.read(row)[None]).permute(0, 3, 1, 2).float().div_(255)
        square = _middle(pixels, whole)[0].clamp_(0, 1).mul_(255).round_()
        out[row] = square.permute(1, 2, 0).to(torch.uint8).numpy()

    with ThreadPoolExecutor(READERS) as pool:
        list(pool.map(one, range(len(images))))
    return out


def embed(
    module: nn.Module, images: NDArray[Any], preprocessing: Preprocessing, batch_size: int = 128
) -> NDArray[np.float32]:
    """Run ``module`` over uint8 images (N, H, W, 3) in evaluation mode. Returns (N, D) float32."""
    module.eval()
    parts = []
    where = next(module.parameters()).device
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            rows = np.arange(start, min(start + batch_size, len(images)))
            parts.append(module(shown(images, rows, preprocessing).to(where)).float().cpu())
    return torch.cat(parts).numpy()


def device() -> torch.device:
    """Where this process computes."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _to_float(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    views = _middle(images.permute(0, 3, 1, 2).float().div_(255), preprocessing)
    # One grey channel is kept until the end: everything in between is three times cheaper.
    return views.mean(1, keepdim=True) if preprocessing.grayscale else views


def _middle(views: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Resized and cut to the middle square; sizes and places are rounded as torchvision does."""
    size = preprocessing.image_size
    side = math.floor(size / preprocessing.crop_share)
    H, W = views.shape[-2:]
    if preprocessing.resize == "squash":
        target = (side, side)
    else:
        target = (side, int(side * W / H)) if H <= W else (int(side * H / W), side)
    if target == (H, W):
        pass
    elif preprocessing.interpolation == "bilinear":
        views = F.interpolate(views, target, mode="bilinear", antialias=True)
    else:
        # Bicubic overshoots at edges, beyond what a pixel can hold; Pillow, with which the models
        # of others were trained, cuts that off after each of its two passes, rows before columns.
        for step in ((H, target[1]), target):
            views = F.interpolate(views, step, mode="bicubic", antialias=True).clamp_(0, 1)
    top, left = (round((extent - size) / 2) for extent in target)
    return views[..., top : top + size, left : left + size]


def _standardise(views: Tensor, preprocessing: Preprocessing) -> Tensor:
    if preprocessing.standardise == "image":
        # The floor on the deviation keeps an empty image empty instead of amplifying its noise.
        deviation, mean = torch.std_mean(views, dim=(1, 2, 3), keepdim=True)
        views = (views - mean) / (deviation + 0.05)
    else:
        mean = views.new_tensor(preprocessing.mean or IMAGENET_MEAN).view(1, -1, 1, 1)
        deviation = views.new_tensor(preprocessing.deviation or IMAGENET_STD).view(1, -1, 1, 1)
        views = (views - mean) / deviation
    return views.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def _affine(views: Tensor, a: Augmentation, generator: torch.Generator) -> Tensor:
    moves = a.rotation_degrees or a.scale or a.shear or a.translation
    if not (moves or a.flip):
        return views
    B = len(views)

    def draw(half_width: float) -> Tensor:
        return (torch.rand(B, generator=generator) * 2 - 1) * half_width

    angle, scale = draw(math.radians(a.rotation_degrees)), 1 + draw(a.scale)
    shear, shift_x, shift_y = draw(a.shear), draw(2 * a.translation), draw(2 * a.translation)
    mirror = draw(1.0).sign() if a.flip else torch.ones(B)
    if not moves:  # the same views, without a resampling that would change no pixel
        return torch.where(mirror.to(views).view(B, 1, 1, 1) < 0, views.flip(-1), views)
    matrix_Bx2x3 = torch.stack(
        [
            torch.stack([mirror * angle.cos() * scale, shear - angle.sin() * scale, shift_x], 1),
            torch.stack([mirror * angle.sin() * scale, angle.cos() * scale, shift_y], 1),
        ],
        1,
    ).to(views)
    grid = F.affine_grid(matrix_Bx2x3, list(views.shape), align_corners=False)
    return F.grid_sample(views, grid, padding_mode="border", align_corners=False)


def _low_resolution(views: Tensor, sides: tuple[int, int], generator: torch.Generator) -> Tensor:
    # A handful of sides a batch, not one per image: each side is one resize of its share.
    size, out = views.shape[-2:], []
    for part in views.chunk(4):
        side = int(torch.randint(sides[0], sides[1] + 1, (1,), generator=generator))
        small = F.interpolate(part, (side, side), mode="bilinear", antialias=True)
        out.append(F.interpolate(small, size, mode="bilinear"))
    return torch.cat(out)
