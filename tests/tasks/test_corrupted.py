"""Any task with corrupted test images: its own examples, sealed as they were."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from raystudy import seal
from raystudy.kinds import Examples, Images, Task
from raystudy.spec import Preprocessing
from raystudy.tasks.cifar10 import CIFAR10
from raystudy.tasks.corrupted import Corrupted
from raystudy.tasks.corruptions import corrupt
from raystudy.tasks.digits import Digits
from raystudy.views import shown, squares

from .miniatures import cifar10, corrupted_arrays, tiny

SEEN = Preprocessing(image_size=16)


def opened(task: Task, shift: str | None = None) -> Examples:
    with seal.opened():
        return task.sealed(shift)


def test_it_has_the_shifts_of_both() -> None:
    task = Corrupted(task=Digits())
    assert task.shifts[:5] == Digits().shifts
    assert len(task.shifts) == 5 + 75
    few = Corrupted(task=Digits(), kinds=("fog", "snow"), severities=(1, 5))
    assert few.shifts[5:] == ("fog-1", "fog-5", "snow-1", "snow-5")
    assert few.name == "digits-c"
    assert len({Digits().key, task.key, few.key}) == 3


def test_everything_else_is_the_tasks_own() -> None:
    task = Corrupted(task=Digits(), kinds=("fog",))
    assert list(task.train().ids) == list(Digits().train().ids)
    assert list(task.validation().ids) == list(Digits().validation().ids)
    np.testing.assert_array_equal(opened(task).array, opened(Digits()).array)
    np.testing.assert_array_equal(
        opened(task, "inverted").array, opened(Digits(), "inverted").array
    )
    for name in ("size", "class_names", "metric", "group", "in_distribution"):
        assert getattr(task, name) == getattr(Digits(), name)
    assert task.prompts() == Digits().prompts()
    assert list(task.num_train()) == list(Digits().num_train())
    task.check()


def test_its_test_split_is_under_seal() -> None:
    task = Corrupted(task=Digits())
    for shift in (None, "inverted", "fog-3"):
        with pytest.raises(seal.SealError, match="the test split of digits-c is under seal"):
            task.sealed(shift)
        with pytest.raises(seal.SealError):
            task._test(shift)  # nor by the way that nobody should take


def test_images_are_corrupted_by_their_ids_as_they_are_read() -> None:
    clean, foggy = opened(Digits()), opened(Corrupted(task=Digits()), "fog-3")
    assert list(foggy.ids) == list(clean.ids)
    np.testing.assert_array_equal(foggy.labels, clean.labels)
    assert isinstance(foggy.inputs, Images)
    rows = np.array([700, 3])
    some = foggy.take(rows)
    assert isinstance(some.inputs, Images)
    for i, row in enumerate(rows):
        expected = corrupt(clean.array[row], "fog", 3, clean.ids[int(row)])
        np.testing.assert_array_equal(some.inputs.read(i), expected)
        np.testing.assert_array_equal(foggy.inputs.read(int(row)), expected)


def test_a_backbone_sees_them() -> None:
    noisy = opened(Corrupted(task=Digits()), "gaussian_noise-5").take(np.arange(4))
    views = shown(noisy.inputs, np.arange(4), SEEN)
    assert views.shape == (4, 3, 16, 16)
    assert squares(noisy.inputs, SEEN).shape == (4, 16, 16, 3)
    assert not np.allclose(views, shown(opened(Digits()).inputs, np.arange(4), SEEN))


def test_images_on_disk_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    task, _ = tiny("pacs-art-painting", tmp_path)
    corrupted = Corrupted(task=task, severities=(2,))
    assert corrupted.name == "pacs-art-painting-c"
    assert corrupted.in_distribution == "validation"
    assert corrupted.domain_of(task.train().ids[0]) == task.domain_of(task.train().ids[0])
    hazy = opened(corrupted, "fog-2")
    assert isinstance(hazy.inputs, Images)
    file = Path(task.path) / hazy.ids[1]
    file.write_bytes(b"")
    assert hazy.inputs.read(0).dtype == np.uint8
    with pytest.raises(ValueError, match=file.name):
        hazy.inputs.read(1)
    rows = corrupted.part("in")
    assert rows is not None
    assert opened(corrupted).take(rows).ids == list(opened(corrupted, "in").ids)
    assert corrupted.part("fog-2") is None


def test_a_shift_that_the_task_has_already_is_refused(tmp_path: Path) -> None:
    cifar10(tmp_path)
    stored = CIFAR10(path=str(tmp_path), c=str(corrupted_arrays(tmp_path / "c", np.zeros(20))))
    with pytest.raises(ValueError, match=r"cifar10 has a shift '.*' of its own already"):
        Corrupted(task=stored).check()


@pytest.mark.parametrize(
    "fields", [{"kinds": ()}, {"severities": ()}, {"severities": (6,)}, {"kinds": ("rain",)}]
)
def test_what_it_cannot_do_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Corrupted.model_validate({"task": Digits()} | fields)


def test_a_plan_waits_for_the_data_of_its_task() -> None:
    from raystudy.absent import TaskNotHere, expected
    from raystudy.adapt.linear_probe import LinearProbe
    from raystudy.spec import Architecture, Grid, Study

    grid = Grid(
        architectures=(Architecture(name="resnet18"),),
        tasks=(Corrupted(task=CIFAR10(path="nope")), Corrupted(task=Digits())),
        adaptations=(LinearProbe(),),
    )
    planned, absent = expected(Study(name="s", grids=(grid,)))
    assert [a.name for a in absent] == ["cifar10"]
    first, second = planned.grids[0].tasks
    assert isinstance(first, Corrupted)
    assert isinstance(first.task, TaskNotHere)
    assert second == grid.tasks[1]
