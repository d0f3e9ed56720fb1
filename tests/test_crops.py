"""Random regions have torchvision's distribution, stay inside, and are pure in their generator."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from torchvision.transforms import RandomResizedCrop

from raystudy.crops import random_regions
from raystudy.randomness import generator

SIDES = st.integers(1, 3000)


@given(
    st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=20),
    st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
    st.integers(0, 99),
)
def test_a_region_lies_inside_its_image(sides, area, seed) -> None:
    widths, heights = np.array(sides, dtype=np.int32).T
    left, top, w, h = random_regions(widths, heights, tuple(area), generator(seed, "crop")).T
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (w >= 1).all()
    assert (h >= 1).all()
    assert (left + w <= widths).all()
    assert (top + h <= heights).all()


@pytest.mark.parametrize("size", [(400, 300), (64, 64), (300, 900), (2000, 100)])
@pytest.mark.parametrize("area", [(0.08, 1.0), (0.5, 1.0)])
def test_the_distribution_is_torchvisions(size: tuple[int, int], area) -> None:
    N = 4000
    widths, heights = (np.full(N, side, dtype=np.int32) for side in size)
    ours = random_regions(widths, heights, area, generator(0, "crop"))
    torch.manual_seed(0)
    image = torch.empty(1, size[1], size[0])
    theirs = np.array(
        [RandomResizedCrop.get_params(image, list(area), [3 / 4, 4 / 3]) for _ in range(N)]
    )[:, [1, 0, 3, 2]]  # top, left, height, width
    for name, a, b in zip(("left", "top", "width", "height"), ours.T, theirs.T, strict=True):
        pvalue: Any = ks_2samp(a, b)[1]
        assert pvalue > 1e-4, name


def test_a_whole_area_is_nearly_the_whole_image() -> None:
    ones = np.full(50, 100, dtype=np.int32)
    regions = random_regions(ones, ones, (1.0, 1.0), generator(0, "crop"))
    assert (regions[:, 2:] == 100).all()
