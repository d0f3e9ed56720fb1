"""CIFAR's binary files, and the corrupted arrays that were published for them."""

from pathlib import Path

import numpy as np
import pytest

from raystudy import seal
from raystudy.kinds import Examples, TaskOnDisk
from raystudy.tasks import names
from raystudy.tasks.cifar10 import CIFAR10
from raystudy.tasks.cifar100 import CIFAR100

from .miniatures import KINDS_OF_CORRUPTION, cifar10, cifar100, corrupted_arrays


def opened(task: TaskOnDisk, shift: str | None = None) -> Examples:
    with seal.opened():
        return task.sealed(shift)


def numbers_of(root: Path, task: TaskOnDisk) -> np.ndarray:
    """As the official test file gives them."""
    if isinstance(task, CIFAR10):
        return np.fromfile(root / "cifar-10-batches-bin" / "test_batch.bin", np.uint8)[::3073]
    return np.fromfile(root / "cifar-100-binary" / "test.bin", np.uint8)[1::3074]


@pytest.fixture(params=["cifar10", "cifar100", "cifar100 with its names in another order"])
def root_and_task(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, TaskOnDisk]:
    root = tmp_path / "clean"
    root.mkdir()
    if request.param == "cifar10":
        cifar10(root)
        return root, CIFAR10(path=str(root))
    order = names.official("cifar100")
    cifar100(root, order if request.param == "cifar100" else tuple(reversed(order)))
    return root, CIFAR100(path=str(root))


def test_pixels_are_those_of_each_file(tmp_path: Path) -> None:
    cifar10(tmp_path)
    train = CIFAR10(path=str(tmp_path)).train()
    assert len({id.rpartition("-")[0] for id in train.ids}) == 5
    for id, image in zip(train.ids, train.array, strict=True):
        file, _, row = id.rpartition("-")
        raw = np.fromfile(tmp_path / "cifar-10-batches-bin" / f"{file}.bin", np.uint8)
        record = raw.reshape(-1, 3073)[int(row)]
        for y, x in ((0, 0), (5, 30), (31, 1)):
            assert image[y, x].tolist() == [
                int(record[1 + c * 1024 + y * 32 + x]) for c in (0, 1, 2)
            ]


def test_a_cut_file_and_a_number_without_a_name(tmp_path: Path) -> None:
    cifar10(tmp_path)
    file = tmp_path / "cifar-10-batches-bin" / "data_batch_3.bin"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match=r"data_batch_3\.bin: .* not whole records"):
        CIFAR10(path=str(tmp_path)).train()
    file.write_bytes(b"\x0a" + whole[1:])
    with pytest.raises(ValueError, match=r"data_batch_3\.bin: label 10, but 10 have names"):
        CIFAR10(path=str(tmp_path)).num_train()


def test_pickles_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    assert "holds pickles" in CIFAR10(path=str(tmp_path)).missing(tmp_path)[0]


def test_corrupted_arrays_become_shifts(
    root_and_task: tuple[Path, TaskOnDisk], tmp_path: Path
) -> None:
    root, clean = root_and_task
    assert clean.shifts == ()
    folder = corrupted_arrays(tmp_path / "c", numbers_of(root, clean))
    task = clean.model_copy(update={"c": str(folder)})
    task.check()
    assert len(task.shifts) == 75
    assert task.key != clean.key
    test = opened(task)
    with pytest.raises(seal.SealError):
        task.sealed("fog-2")
    for shift, severity in (("gaussian_noise-1", 1), ("fog-4", 4), ("jpeg_compression-5", 5)):
        shifted = opened(task, shift)
        assert list(shifted.ids) == list(test.ids)
        np.testing.assert_array_equal(shifted.labels, test.labels)
        greys = np.arange(len(test)) + 10 * (severity - 1)
        np.testing.assert_array_equal(shifted.array[:, 3, 4, 1], greys)
        assert shifted.array.shape == test.array.shape


def test_where_they_lie_is_not_their_identity(tmp_path: Path) -> None:
    cifar10(tmp_path)
    numbers = numbers_of(tmp_path, CIFAR10(path=str(tmp_path)))
    tasks = [
        CIFAR10(path=str(tmp_path), c=str(corrupted_arrays(tmp_path / place, numbers)))
        for place in ("here", "there")
    ]
    assert tasks[0].key == tasks[1].key


@pytest.mark.parametrize("name", ["labels", KINDS_OF_CORRUPTION[6]])
def test_a_missing_array_is_named(tmp_path: Path, name: str) -> None:
    cifar10(tmp_path)
    folder = corrupted_arrays(tmp_path / "c", np.zeros(20))
    (folder / f"{name}.npy").unlink()
    task = CIFAR10(path=str(tmp_path), c=str(folder))
    assert task.missing(tmp_path) == [f"no {name}.npy below {folder}"]


def test_arrays_of_other_images_are_refused(tmp_path: Path) -> None:
    cifar10(tmp_path)
    task = CIFAR10(path=str(tmp_path), c=str(tmp_path / "c"))
    numbers = numbers_of(tmp_path, task)
    folder = corrupted_arrays(tmp_path / "c", (numbers + 1) % 10)
    with pytest.raises(ValueError, match=r"labels\.npy: not the labels of this test split"):
        opened(task, "snow-1")
    np.save(folder / "snow.npy", np.zeros((100, 32, 32), np.uint8))
    with pytest.raises(ValueError, match=r"snow\.npy: uint8 of \(100, 32, 32\), not"):
        opened(task, "snow-1")
    np.save(folder / "snow.npy", np.array([{"a": print}], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"snow\.npy: not an array"):
        opened(task, "snow-1")
    (folder / "snow.npy").write_bytes(b"")
    with pytest.raises(ValueError, match=r"snow\.npy: not an array"):
        opened(task, "snow-1")
