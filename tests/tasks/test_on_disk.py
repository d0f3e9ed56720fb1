"""What holds for every task that reads a data set in its official layout."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raystudy import seal
from raystudy.kinds import Examples, Images, TaskOnDisk
from raystudy.tasks import table
from raystudy.tasks.listing import Files

from .miniatures import MINIATURES, Truth, at, tiny

Miniature = tuple[TaskOnDisk, Truth]
ON_DISK = [task for task in table.every_task().values() if isinstance(task, TaskOnDisk)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Miniature]:
    return {name: tiny(name, tmp_path_factory.mktemp("made")) for name in MINIATURES}


@pytest.fixture(params=MINIATURES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def miniature(name: str, made: dict[str, Miniature]) -> Miniature:
    return made[name]


@pytest.fixture
def copied(miniature: Miniature, tmp_path: Path) -> TaskOnDisk:
    """The task over a copy that a test may damage."""
    task, _ = miniature
    folder = shutil.copytree(task.path, tmp_path / "copy")
    return task.model_copy(update={"path": str(folder)})


def splits(task: TaskOnDisk) -> dict[str, Examples]:
    with seal.opened():
        test = task.sealed()
    return {"train": task.train(), "validation": task.validation(), "test": test}


def test_every_task_on_disk_has_a_miniature() -> None:
    assert {type(at(name, Path())) for name in MINIATURES} == {type(task) for task in ON_DISK}


def test_labels_are_those_of_the_classes_by_name(miniature: Miniature) -> None:
    task, truth = miniature
    assert not task.missing(Path(task.path))
    found = {
        id: task.class_names[label]
        for split in splits(task).values()
        for id, label in zip(split.ids, split.labels.tolist(), strict=True)
    }
    assert found == truth.classes


def test_official_splits_are_kept(miniature: Miniature) -> None:
    task, truth = miniature
    ids = {split: set(examples.ids) for split, examples in splits(task).items()}
    ids["learnt"] = ids["train"] | ids["validation"]
    ids["all"] = ids["learnt"] | ids["test"]
    for split, expected in truth.splits.items():
        assert ids[split] == expected


def test_no_example_is_in_two_splits(miniature: Miniature) -> None:
    parts = [list(examples.ids) for examples in splits(miniature[0]).values()]
    everything = [id for part in parts for id in part]
    assert len(everything) == len(set(everything))
    assert all(parts)


def test_training_images_are_counted_without_reading_one(
    miniature: Miniature, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, _ = miniature
    expected = np.bincount(task.train().labels, minlength=len(task.class_names))

    def unread(*arguments: object) -> None:
        raise AssertionError("an image was read")

    monkeypatch.setattr(Files, "read", unread)
    assert list(task.num_train()) == expected.tolist()


def test_images_are_as_pillow_reads_them(miniature: Miniature) -> None:
    task, truth = miniature
    root = Path(task.path)
    for examples in splits(task).values():
        rows = np.array([len(examples) - 1, 0])
        last_and_first = examples.take(rows)
        assert list(last_and_first.ids) == [examples.ids[-1], examples.ids[0]]
        inputs = last_and_first.inputs
        assert len(inputs) == 2
        if not isinstance(inputs, Images):
            assert inputs.dtype == np.uint8
            assert inputs.shape[1:] == (32, 32, 3)
            continue
        for i, id in enumerate(last_and_first.ids):
            known = [root / truth.paths[id]] if id in truth.paths else root.rglob("*")
            (file,) = (f for f in known if id in truth.paths or _names(f, id))
            np.testing.assert_array_equal(inputs.read(i), np.asarray(Image.open(file)))


def test_the_test_split_is_under_seal(miniature: Miniature) -> None:
    with pytest.raises(seal.SealError, match="under seal"):
        miniature[0].sealed()


def test_key_is_that_of_the_content_wherever_it_lies(
    miniature: Miniature, copied: TaskOnDisk
) -> None:
    task, _ = miniature
    assert copied.key == task.key
    file = Path(copied.path) / sorted(copied.files(Path(copied.path)))[0]
    file.write_bytes(file.read_bytes() + b"\n")
    assert at(task.name, Path(copied.path)).key != task.key


def test_what_was_read_does_not_travel_with_the_spec(miniature: Miniature) -> None:
    task, _ = miniature
    sent = len(pickle.dumps(task))
    task.num_train()
    assert len(pickle.dumps(task)) <= sent + 100
    assert pickle.loads(pickle.dumps(task)).num_train() == task.num_train()


def test_a_missing_file_is_named(copied: TaskOnDisk) -> None:
    root = Path(copied.path)
    for name in sorted(copied.files(root), key=lambda name: name.endswith(".jpg"))[:4]:
        kept = (root / name).read_bytes()
        (root / name).unlink()
        if name.endswith("disease_map.json") or type(copied).__name__ in FOLDERS_ONLY:
            (root / name).write_bytes(kept)
            continue
        lines = " ".join(copied.missing(root))
        assert name in lines
        with pytest.raises(FileNotFoundError, match=r"\.path=.*copy"):
            copied.check()
        (root / name).write_bytes(kept)
    copied.check()


FOLDERS_ONLY = {"EuroSAT", "Resisc45", "Caltech101", "ImageNet1k"} | {
    *("PACS", "OfficeHome", "VLCS", "TerraIncognita", "DomainNetHeldOut")
}
"""Nothing lists their files: what is there is the data set."""


def test_a_missing_class_is_named(made: dict[str, Miniature], tmp_path: Path) -> None:
    for name, folder in (("eurosat", "2750/River"), ("resisc45", "NWPU-RESISC45/lake")):
        copy = shutil.copytree(made[name][0].path, tmp_path / name)
        shutil.rmtree(copy / folder)
        assert folder in at(name, copy).missing(copy)[0]


def test_an_empty_folder_is_not_the_data_set(name: str, tmp_path: Path) -> None:
    task = at(name, tmp_path)
    assert task.missing(tmp_path)
    with pytest.raises(FileNotFoundError, match=rf"^{type(task).__name__}\.path={tmp_path}: no "):
        task.check()
    assert at(name, tmp_path / "nowhere").missing(tmp_path / "nowhere")


def test_the_folder_above_or_below_is_told(miniature: Miniature) -> None:
    task, _ = miniature
    root = Path(task.path)
    assert f"it is in {root}: give that folder" in task.missing(root.parent)[0]
    inside = next(f for f in sorted(root.iterdir()) if f.is_dir()) if task.name != "svhn" else root
    if inside != root:
        assert f"it is in {root}: give that folder" in task.missing(inside)[0]


def test_prompts_begin_with_the_class_and_hold_it(miniature: Miniature) -> None:
    task, _ = miniature
    prompts = task.prompts()
    assert [p[0] for p in prompts] == list(task.class_names)
    assert len(prompts) > 1
    for name, *sentences in prompts:
        assert sentences
        assert all(name in sentence and "{" not in sentence for sentence in sentences)


@pytest.mark.parametrize("task", ON_DISK, ids=lambda task: task.name)
def test_classes_have_names_of_their_own(task: TaskOnDisk) -> None:
    names = task.class_names
    assert len(set(names)) == len(names)
    assert not any("_" in name or name != name.strip() or "\t" in name for name in names)


def _names(file: Path, id: str) -> bool:
    """Whether an image file is that of an id: its path's end, with a suffix or without."""
    path = file.as_posix()
    return file.suffix in (".jpg", ".JPEG") and path.endswith((f"/{id}", f"/{id}.jpg"))
