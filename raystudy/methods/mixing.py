"""Mixing the images of a chunk, and their labels with them.

Each image meets one partner, its counterpart from the other end of the chunk; one weight and one
box serve the whole chunk, as one of a batch does in timm.
Shapes: n images of a chunk, S pixels a side, C classes.
"""

import math

import torch
from scipy.special import betaincinv
from torch import Tensor
from torch.nn.functional import one_hot


def mix(
    view: Tensor, labels: Tensor, num_classes: int, alphas: tuple[float, float], draws: Tensor
) -> tuple[Tensor, Tensor]:
    """Mixup (Zhang et al. 2018, arXiv 1710.09412) or CutMix (Yun et al. 2019, arXiv 1905.04899).

    ``view`` (n, 3, S, S) and ``labels`` (n,) to a view of the same shape and targets (n, C), each
    summing to one. ``alphas`` are those of Beta(α, α) for mixup and for CutMix, 0 for never; where
    both are on, it is one or the other, each half the time. ``draws`` (4,) lie in [0, 1).
    """
    mixup, cutmix = alphas
    choice, share, x, y = draws.tolist()
    cuts = cutmix > 0 and (mixup == 0 or choice < 0.5)
    weight = _beta(cutmix if cuts else mixup, share)
    if cuts:
        view, weight = _paste(view, weight, x, y)
    else:
        view = view * weight + view.flip(0) * (1 - weight)
    own_nxC = one_hot(labels, num_classes).to(view.dtype)
    return view, own_nxC * weight + own_nxC.flip(0) * (1 - weight)


def _paste(view: Tensor, weight: float, x: float, y: float) -> tuple[Tensor, float]:
    """The partner's pixels in a box of the share 1 − ``weight`` around (x, y), less what lies
    outside of the image; and the share of its own that each image keeps."""
    height, width = view.shape[-2:]
    top, bottom = _span(height, weight, y)
    left, right = _span(width, weight, x)
    mixed = view.clone(memory_format=torch.preserve_format)
    mixed[..., top:bottom, left:right] = view.flip(0)[..., top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)


def _span(side: int, weight: float, centre: float) -> tuple[int, int]:
    length, middle = int(side * math.sqrt(1 - weight)), int(centre * side)
    return max(0, middle - length // 2), min(side, middle + (length + 1) // 2)


def _beta(alpha: float, share: float) -> float:
    """Beta(α, α) where a share of its mass lies below: a draw of it, if ``share`` is uniform."""
    return float(betaincinv(alpha, alpha, share))
