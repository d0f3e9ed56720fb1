import hashlib
import unicodedata
from collections.abc import Iterator

import numpy as np
import pytest
from scipy import ndimage
from sklearn.datasets import load_digits

from raystudy import seal
from raystudy.sources.glyphs import Glyphs
from raystudy.tasks.digits import SHIFTS, Digits, cluttered, inverted

GOLDEN_SPLIT = "c281b926525e387c"


@pytest.fixture(autouse=True)
def unsealed() -> Iterator[None]:
    with seal.opened():
        yield


def test_splits_are_disjoint_and_cover_everything() -> None:
    task = Digits()
    train, validation, test = (set(s.ids) for s in (task.train(), task.validation(), task.sealed()))
    assert (len(train), len(validation), len(test)) == (800, 200, 797)
    assert len(train | validation | test) == 1797


def test_splits_are_stratified() -> None:
    task = Digits()
    assert np.bincount(task.train().labels).tolist() == list(task.num_train()) == [80] * 10
    assert np.bincount(task.validation().labels).tolist() == [20] * 10


def test_the_split_is_what_it_always_was() -> None:
    task = Digits()
    ids = [i for s in (task.train(), task.validation(), task.sealed()) for i in (*s.ids, "/")]
    digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
    assert digest == GOLDEN_SPLIT, (
        "the digits' split has changed, so old results are on other test images. Update the digest "
        "only together with Digits.VERSION, and only if the change is meant"
    )


def test_another_split_seed_gives_another_split() -> None:
    assert set(Digits(split_seed=1).train().ids) != set(Digits().train().ids)


def test_labels_and_pixels_are_scikit_learns() -> None:
    data, labels = load_digits(return_X_y=True)
    for split in (Digits().train(), Digits().validation(), Digits().sealed()):
        rows = [int(i.removeprefix("digits-")) for i in split.ids]
        assert split.array.shape == (len(rows), 32, 32, 3)
        assert split.array.dtype == np.uint8
        np.testing.assert_array_equal(split.labels, np.asarray(labels)[rows])
        # Bilinear enlargement keeps block means up to smoothing: the oracle is scipy's.
        for row, image in list(zip(rows, split.array, strict=True))[:20]:
            grey = np.reshape(data[row], (8, 8)) * (255 / 16)
            expected = ndimage.zoom(grey, 4, order=1, mode="nearest", grid_mode=True)
            assert np.abs(image[..., 0] - expected).max() <= 2
            assert (image == image[..., :1]).all()


def test_class_names_are_those_of_printed_digits() -> None:
    assert Digits.class_names == tuple(unicodedata.name(c).lower() for c in "0123456789")
    assert set(Digits.class_names) <= set(Glyphs(script="latin").class_names)


def test_prompts_are_written_as_captions_are() -> None:
    written = {Glyphs(script="latin").example(i).caption.split(", ")[0] for i in range(3000)}
    for name, prompts in zip(Digits.class_names, Digits().prompts(), strict=True):
        assert prompts[0] == name
        assert 5 <= len(prompts[1:]) <= 8
        for sentence in prompts[1:]:
            what, colours = sentence.split(", ")
            assert colours == "white on black"
            assert what.endswith(name)
            assert what.replace(name, "digit four") in {
                w.replace(w[w.index("digit") :], "digit four") for w in written if "digit" in w
            }


@pytest.mark.parametrize("shift", Digits().shifts)
def test_a_shift_changes_pixels_and_nothing_else(shift: str) -> None:
    test, shifted = Digits().sealed(), Digits().sealed(shift)
    assert list(shifted.ids) == list(test.ids)
    np.testing.assert_array_equal(shifted.labels, test.labels)
    assert shifted.array.shape == test.array.shape
    assert shifted.array.dtype == np.uint8
    assert all((a != b).any() for a, b in zip(shifted.array, test.array, strict=True))


@pytest.mark.parametrize("shift", Digits().shifts)
def test_a_shift_is_a_function_of_image_and_id(shift: str) -> None:
    test = Digits().sealed()
    before = test.array[5].copy()
    first, again = (SHIFTS[shift](test.array[5], test.ids[5]) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(test.array[5], before)
    np.testing.assert_array_equal(first, Digits().sealed(shift).array[5])
    other = SHIFTS[shift](test.array[5], "digits-9999")
    assert (first != other).any() == (shift in {"noisy", "rotated", "cluttered"})


def test_the_shifts_are_what_they_always_were() -> None:
    assert Digits().shifts == ("inverted", "blurred", "noisy", "rotated", "cluttered")


def test_shifts_do_what_they_are_called() -> None:
    test = Digits().sealed()
    image, id = test.array[0], test.ids[0]
    np.testing.assert_array_equal(inverted(inverted(image, id), id), image)
    assert (cluttered(image, id) >= image).all()

    def sharpness(pixels: np.ndarray) -> float:
        return float(np.abs(np.diff(pixels.astype(float), axis=2)).mean())

    assert sharpness(Digits().sealed("blurred").array) < 0.8 * sharpness(test.array)
    assert sharpness(Digits().sealed("noisy").array) > 1.5 * sharpness(test.array)


def test_rotation_keeps_to_its_range() -> None:
    bar = np.zeros((32, 32, 3), np.uint8)
    bar[15:17, 4:28] = 255
    turns = []
    for n in range(60):
        y, x = np.nonzero(SHIFTS["rotated"](bar, str(n))[..., 0] > 60)
        covariance = np.cov(x, y)
        angle = 0.5 * np.arctan2(2 * covariance[0, 1], covariance[0, 0] - covariance[1, 1])
        turns.append(np.degrees(angle))
    assert np.abs(turns).min() >= 28
    assert np.abs(turns).max() <= 47
    assert min(turns) < 0 < max(turns)


def test_images_cannot_be_changed_under_others() -> None:
    Digits().train().array[:] = 0
    assert Digits().train().array.any()


def test_an_unknown_shift_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no shift 'foggy'; shifts: inverted, blurred"):
        Digits().sealed("foggy")


def test_the_data_are_there() -> None:
    Digits().check()
