"""Views of fine-tuning against timm and torchvision, and the generators that they leave alone."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data.random_erasing import RandomErasing
from timm.data.transforms_factory import create_transform

from raystudy.adapt.augment import Views, erase, rand_augment, random_crops, seeded
from raystudy.adapt.finetune import FineTune
from raystudy.spec import Augmentation, Preprocessing
from raystudy.tasks.digits import Digits

CONFIG = "m9-mstd0.5-inc1"
SEEN = Preprocessing(image_size=24, interpolation="bicubic")


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    rng = np.random.default_rng(0)
    coloured = Digits().train().array[:16] * rng.uniform(0.3, 1, size=(16, 1, 1, 3))
    return torch.from_numpy(coloured.astype(np.uint8))


def test_rand_augment_is_the_one_in_timms_pipeline(images: torch.Tensor) -> None:
    pipeline: Any = create_transform(
        32, is_training=True, auto_augment=f"rand-{CONFIG}", interpolation="bicubic"
    )
    (transform,) = [t for t in pipeline.transforms if type(t).__name__ == "RandAugment"]
    found = rand_augment(images, CONFIG, SEEN, 5)
    random.seed(5)
    np.random.seed(5)
    expected = [np.asarray(transform(Image.fromarray(image))) for image in images.numpy()]
    np.testing.assert_array_equal(found.numpy(), np.stack(expected))
    assert (found != images).flatten(1).any(1).sum() > 8


def test_erasing_is_timms(images: torch.Tensor) -> None:
    views = torch.zeros(16, 3, 24, 24)
    erase(views, 0.5, 3)
    random.seed(3)
    torch.manual_seed(3)
    expected = RandomErasing(0.5, mode="pixel", device="cpu")(torch.zeros(16, 3, 24, 24))
    assert torch.equal(views, expected)
    touched = (views != 0).flatten(1).float().mean(1)
    assert 2 < (touched > 0).sum() < 14
    assert 0.01 < touched[touched > 0].min() <= touched.max() < 0.36


def test_a_crop_is_a_region_resized() -> None:
    """On a picture that says where each of its pixels lies."""
    x, y = np.meshgrid(np.arange(64), np.arange(64))
    picture = np.stack([4 * x, 4 * y, 0 * x], -1).astype(np.uint8)
    images = torch.from_numpy(np.repeat(picture[None], 50, 0))
    crops = random_crops(images, (0.25, 0.25), SEEN, np.random.default_rng(0)).numpy()
    assert crops.shape == (50, 24, 24, 3)
    spans = []
    for crop in crops.astype(float):
        assert np.ptp(crop[..., 0], axis=0).max() <= 2  # columns are columns still
        width, height = ((crop[-1, -1] - crop[0, 0]) / 4)[:2] * 24 / 23
        spans.append((width, height))
    areas = np.prod(spans, axis=1) / 64**2
    assert np.abs(areas - 0.25).max() < 0.03
    ratios = np.divide(*np.transpose(spans))
    assert 0.7 < ratios.min() < 0.9
    assert 1.1 < ratios.max() < 1.4
    corners = crops[:, 0, 0, :2] / 4
    assert corners.min() < 6
    assert corners.max() > 24


def test_views_are_a_function_of_the_seed_and_leave_no_trace(images: torch.Tensor) -> None:
    spec = FineTune(
        augmentation=Augmentation(random_crop=(0.3, 1), flip=True, rotation_degrees=5),
        rand_augment=CONFIG,
        erase_rate=0.5,
    )
    cpu, kept = torch.device("cpu"), images.clone()
    python, numpy_state = random.getstate(), np.random.get_state(legacy=False)["state"]
    torch_state = torch.get_rng_state()
    first = Views(spec, SEEN, 1)(images, 0, cpu)
    assert random.getstate() == python
    assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], numpy_state["key"])
    assert np.random.get_state(legacy=False)["state"]["pos"] == numpy_state["pos"]
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert torch.equal(images, kept)
    assert first.shape == (16, 3, 24, 24)
    random.random()
    torch.rand(3)
    assert torch.equal(Views(spec, SEEN, 1)(images, 0, cpu), first)
    assert not torch.equal(Views(spec, SEEN, 2)(images, 0, cpu), first)
    assert not torch.equal(Views(spec, SEEN, 1)(images, 1, cpu), first)


def test_generators_are_put_back_after_an_error() -> None:
    before = random.getstate()
    with pytest.raises(ZeroDivisionError), seeded(1):
        random.seed(2 // 0)
    assert random.getstate() == before
