"""VTAB-1k's rules, against those of its own code spelt out, and its table of tasks."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raystudy.tasks import vtab_rules as rules
from raystudy.tasks.vtab import DATASETS, Dataset, Vtab

TFDS = {
    # Sizes of TFDS's splits; validation is left out where VTAB does not read it.
    "caltech101": {"train": 3_060, "test": 6_084},
    "cifar": {"train": 50_000, "test": 10_000},
    "dtd": {"train": 1_880, "validation": 1_880, "test": 1_880},
    "oxford_flowers102": {"train": 1_020, "validation": 1_020, "test": 6_149},
    "oxford_iiit_pet": {"train": 3_680, "test": 3_669},
    "sun397": {"train": 76_128, "validation": 10_875, "test": 21_750},
    "svhn": {"train": 73_257, "test": 26_032},
    "patch_camelyon": {"train": 262_144, "validation": 32_768, "test": 32_768},
    "eurosat": {"train": 27_000},
    "resisc45": {"train": 31_500},
    "diabetic_retinopathy": {"train": 35_126, "validation": 10_906, "test": 42_670},
    "clevr_count": {"train": 70_000, "validation": 15_000, "test": 15_000},
    "clevr_dist": {"train": 70_000, "validation": 15_000, "test": 15_000},
    "dmlab": {"train": 65_550, "validation": 22_628, "test": 22_735},
    "dsprites_loc": {"train": 737_280},
    "dsprites_ori": {"train": 737_280},
    "kitti": {"train": 6_347, "validation": 423, "test": 711},
    "smallnorb_azi": {"train": 24_300, "test": 24_300},
    "smallnorb_ele": {"train": 24_300, "test": 24_300},
}
VALIDATION = {
    # First of the 200 validation images, by hand.
    "caltech101": ("train", 2_754),
    "cifar": ("train", 45_000),
    "svhn": ("train", 65_931),
    "oxford_iiit_pet": ("train", 2_944),
    "eurosat": ("train", 16_200),
    "resisc45": ("train", 18_900),
    "clevr_count": ("train", 63_000),
    "clevr_dist": ("train", 63_000),
    "dsprites_loc": ("train", 589_824),
    "dsprites_ori": ("train", 589_824),
    "smallnorb_azi": ("test", 0),
    "smallnorb_ele": ("test", 0),
}


@pytest.mark.parametrize("dataset", get_args(Dataset))
class TestDataset:
    def test_the_splits_are_as_large_as_published(self, dataset: Dataset) -> None:
        parts = rules.slices(dataset, TFDS[dataset])
        size = Vtab(path="…", dataset=dataset).size
        assert [len_of(parts[p]) for p in ("train800", "val200", "test")] == [
            size.train,
            size.validation,
            size.test,
        ]

    def test_the_splits_are_apart(self, dataset: Dataset) -> None:
        parts = rules.slices(dataset, TFDS[dataset])
        examples = [{(p.split, i) for i in range(p.first, p.last)} for p in parts.values()]
        assert sum(map(len, examples)) == len(set.union(*examples))
        for p in parts.values():
            assert 0 <= p.first < p.last <= TFDS[dataset][p.split]

    def test_validation_begins_where_vtab_has_it(self, dataset: Dataset) -> None:
        found = rules.slices(dataset, TFDS[dataset])["val200"]
        assert (found.split, found.first) == VALIDATION.get(dataset, ("validation", 0))

    def test_classes_are_as_many_as_published(self, dataset: Dataset) -> None:
        assert len(DATASETS[dataset].classes) == CLASSES[dataset]
        assert Vtab(path="…", dataset=dataset).class_names == DATASETS[dataset].classes


CLASSES = {
    **{"caltech101": 102, "cifar": 100, "dtd": 47, "oxford_flowers102": 102},
    **{"oxford_iiit_pet": 37, "sun397": 397, "svhn": 10, "patch_camelyon": 2, "eurosat": 10},
    **{"resisc45": 45, "diabetic_retinopathy": 5, "clevr_count": 8, "clevr_dist": 6, "dmlab": 6},
    **{"dsprites_loc": 16, "dsprites_ori": 16, "kitti": 4, "smallnorb_azi": 18},
    **{"smallnorb_ele": 9},
}


def len_of(part: rules.Slice) -> int:
    return part.last - part.first


def test_seven_natural_four_specialised_eight_structured() -> None:
    groups = [facts.group for facts in DATASETS.values()]
    assert [groups.count(g) for g in ("natural", "specialised", "structured")] == [7, 4, 8]


def test_groups_are_told_by_the_task() -> None:
    assert Vtab(path="…", dataset="kitti").group == "structured"


@given(st.lists(st.floats(0.125, 60, width=32), min_size=1, max_size=10))
def test_clevrs_distances(depths: list[float]) -> None:
    """As in VTAB's code: the last threshold that is below the nearest depth."""
    thresholds = np.array([0.0, 8.0, 8.5, 9.0, 9.5, 10.0, 100.0])
    expected = np.flatnonzero(thresholds - min(depths) < 0).max()
    assert rules.clevr_distance(depths) == expected


@pytest.mark.parametrize(
    ("depth", "label"), [(8.0, 0), (8.1, 1), (8.5, 1), (9, 2), (9.5, 3), (10, 4), (10.01, 5)]
)
def test_a_depth_on_a_threshold_is_below_it(depth: float, label: int) -> None:
    assert rules.clevr_distance([depth]) == label


@given(st.lists(st.floats(-5, 200, width=32), max_size=10))
def test_kittis_distances(metres: list[float]) -> None:
    thresholds = np.array([-100.0, 8.0, 20.0, 999.0])
    expected = np.flatnonzero(thresholds - min([*metres, 1000.0]) < 0).max()
    assert rules.kitti_distance(metres) == expected


def test_no_vehicle_is_a_class_of_its_own() -> None:
    assert [rules.kitti_distance(z) for z in ([7], [8], [20], [60], [])] == [0, 0, 1, 2, 3]


@pytest.mark.parametrize("num_values", [32, 40])
def test_dsprites_bins(num_values: int) -> None:
    found = [rules.dsprites_bin(v, num_values) for v in range(num_values)]
    factor = np.float32(num_values / 16)
    assert found == [int(np.floor_divide(np.float32(v), factor)) for v in range(num_values)]
    assert set(found) == set(range(16))
    with pytest.raises(ValueError, match="not below"):
        rules.dsprites_bin(num_values, num_values)


def test_dsprites_images_are_black_and_white_with_three_channels() -> None:
    mask = np.eye(4, dtype=np.uint8)
    for given_mask in (mask, mask[..., None]):
        image = rules.dsprites_image(given_mask)
        assert image.shape == (4, 4, 3)
        assert image.dtype == np.uint8
        for channel in range(3):
            np.testing.assert_array_equal(image[..., channel], mask * 255)


def test_clevrs_counts() -> None:
    assert [rules.clevr_count(n) for n in range(3, 11)] == list(range(8))
    for n in (2, 11):
        with pytest.raises(ValueError, match="three to ten"):
            rules.clevr_count(n)
