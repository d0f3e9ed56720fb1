"""Leave one domain out, divided as DomainBed divides: against its published definition."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torchvision.datasets import ImageFolder

from raystudy import seal
from raystudy.kinds import Task, TaskOnDisk
from raystudy.tasks import names
from raystudy.tasks.domains import divided, seed_hash
from raystudy.tasks.listing import Files
from raystudy.tasks.table import every_task

from .miniatures import MINIATURES, at, tiny

SUITES = {
    "pacs-art-painting": 9_991,
    "officehome-real-world": 15_588,
    "vlcs-voc2007": 10_729,
    "terraincognita-location-38": 24_330,
    "domainnet-held-out-clipart": 586_575,
}
"""Images in all, as published."""


def of_domainbed(dataset: Sequence[Any], n: int, *arguments: int) -> tuple[list[Any], list[Any]]:
    """``split_dataset(dataset, n, seed_hash(*arguments))``, from their definition: the seed is the
    MD5 of the arguments' tuple as printed, modulo 2^31; a shuffled list of indices is cut at n."""
    printed = "(" + ", ".join(str(a) for a in arguments) + ")"
    number = int.from_bytes(hashlib.md5(printed.encode()).digest(), "big")
    indices = [*range(len(dataset))]
    np.random.RandomState(number % 2147483648).shuffle(indices)
    return [dataset[i] for i in indices[:n]], [dataset[i] for i in indices[n:]]


@pytest.fixture(scope="module", params=SUITES)
def suite(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TaskOnDisk, dict[str, list[str]]]:
    """A miniature, and for each of its domains the images in the order of torchvision."""
    task, _ = tiny(request.param, tmp_path_factory.mktemp("suite"))
    root = Path(task.path)
    domains = sorted(folder.name for folder in root.iterdir())
    listed = {
        d: [Path(f).relative_to(root).as_posix() for f, _ in ImageFolder(str(root / d)).samples]
        for d in domains
    }
    return task, listed


def opened(task: Task, shift: str | None = None) -> list[str]:
    with seal.opened():
        return list(task.sealed(shift).ids)


@pytest.mark.parametrize("split_seed", [0, 1, 7])
def test_every_split_is_domainbeds(
    suite: tuple[TaskOnDisk, dict[str, list[str]]], split_seed: int
) -> None:
    one, listed = suite
    task = one.model_copy(update={"split_seed": split_seed})
    (held_out,) = {task.domain_of(id) for id in opened(task)}
    train, validation = [], []
    for env, (domain, images) in enumerate(listed.items()):
        out, rest = of_domainbed(images, int(len(images) * 0.2), split_seed, env)
        if domain == held_out:
            assert opened(task) == images
            assert (opened(task, "in"), opened(task, "out")) == (rest, out)
            continue
        train += rest
        validation += out
    assert list(task.train().ids) == train
    assert list(task.validation().ids) == validation


def test_labels_are_those_of_torchvision(suite: tuple[TaskOnDisk, dict[str, list[str]]]) -> None:
    """Where every domain has every class, and nothing is read to know it."""
    task, listed = suite
    if task.name.startswith("domainnet"):
        return  # the miniature has five classes of 345
    for domain in listed:
        classes = ImageFolder(str(Path(task.path) / domain)).classes
        for split in (task.train(), task.validation()):
            for id, label in zip(split.ids, split.labels, strict=True):
                if task.domain_of(id) == domain:
                    assert id.split("/")[1] == classes[label]


def test_each_domain_can_be_held_out(suite: tuple[TaskOnDisk, dict[str, list[str]]]) -> None:
    task, listed = suite
    for domain in listed:
        other = task.model_copy(update={"held_out": domain})
        learnt = {*other.train().ids, *other.validation().ids}
        assert learnt == {id for d, ids in listed.items() if d != domain for id in ids}
        assert {other.domain_of(id) for id in learnt} == set(listed) - {domain}
        assert set(opened(other, "in")) | set(opened(other, "out")) == set(listed[domain])
        assert not set(opened(other, "in")) & set(opened(other, "out"))
        assert not any(task.domain_of(id) == domain for id in learnt)


def test_shifts_are_sealed_and_read_nothing(
    suite: tuple[TaskOnDisk, dict[str, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, _ = suite
    monkeypatch.setattr(Files, "read", lambda *a: pytest.fail("an image was read"))
    assert task.shifts == ("in", "out")
    assert task.in_distribution == "validation"
    for shift in (None, *task.shifts):
        with pytest.raises(seal.SealError, match="under seal"):
            task.sealed(shift)
        assert opened(task, shift)
    with pytest.raises(ValueError, match="no shift 'both'; shifts: in, out"):
        opened(task, "both")


def test_the_seed_of_splits_is_a_part_of_the_task_and_of_nothing_else(
    suite: tuple[TaskOnDisk, dict[str, list[str]]],
) -> None:
    task, _ = suite
    other = task.model_copy(update={"split_seed": 3})
    assert other.key != task.key
    assert set(other.train().ids) != set(task.train().ids)
    assert sorted(opened(other)) == sorted(opened(task))
    before = list(task.train().ids)
    np.random.seed(5)
    state = np.random.get_state()[1].copy()  # type: ignore[union-attr, index]
    assert list(at(task.name, Path(task.path)).train().ids) == before
    divided(100, 0, 0)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # type: ignore[index]


def test_a_missing_domain_or_class_is_named(
    suite: tuple[TaskOnDisk, dict[str, list[str]]], tmp_path: Path
) -> None:
    task, listed = suite
    copy = Path(shutil.copytree(task.path, tmp_path / "copy"))
    damaged = task.model_copy(update={"path": str(copy)})
    domain = list(listed)[1]
    name = listed[domain][0].split("/")[1]
    shutil.rmtree(copy / domain / name)
    if task.name.startswith("domainnet"):  # nothing says which classes a domain has
        assert not damaged.missing(copy)
    else:
        assert damaged.missing(copy) == [f"no {domain}/{name} below {copy}"]
    shutil.rmtree(copy / domain)
    with pytest.raises(FileNotFoundError, match=rf"^{type(task).__name__}\.path=.*: no {domain}"):
        damaged.check()
    (copy / domain / "unicorn").mkdir(parents=True)
    if not task.name.startswith("domainnet"):
        assert damaged.missing(copy)
    with pytest.raises(ValueError, match="'unicorn' is no class"):
        damaged.train()


@pytest.mark.parametrize(("name", "total"), SUITES.items())
def test_sizes_are_as_published_whichever_domain_is_held_out(name: str, total: int) -> None:
    cls = type(every_task()[name])
    suites = [task for task in every_task().values() if type(task) is cls]
    assert len(suites) == (6 if name.startswith("domainnet") else 4)
    for task in suites:
        assert task.size.train + task.size.validation + task.size.test == total
        learnt = task.size.train + task.size.validation
        assert learnt // 5 - len(suites) < task.size.validation <= learnt // 5
    assert sum(task.size.test for task in suites) == total


@pytest.mark.parametrize("stem", ["pacs", "officehome", "vlcs", "terraincognita", "domainnet"])
def test_classes_are_in_the_order_of_their_folders(stem: str) -> None:
    assert list(names.official(stem)) == sorted(names.official(stem))
    assert (
        len(names.official(stem))
        == {**{"pacs": 7, "officehome": 65, "vlcs": 5, "terraincognita": 10, "domainnet": 345}}[
            stem
        ]
    )


@pytest.mark.parametrize(
    ("arguments", "seed"),
    # The last 31 bits of what `printf "(0, 0)" | md5sum` prints, …b54c2413, and so on.
    [((0, 0), 0x354C2413), ((0, 3), 0x6B0E5B89), ((2, 1), 0x0ACBF64F)],
)
def test_seeds_are_pinned(arguments: tuple[int, int], seed: int) -> None:
    assert seed_hash(*arguments) == seed


def test_rows_are_pinned() -> None:
    """What numpy's frozen generator draws for seed_hash(0, 0), of ten and of PACS' art."""
    assert divided(10, 0, 0)["out"].tolist() == [2, 3]
    art = divided(2_048, 0, 0)
    assert art["out"][:5].tolist() == [548, 677, 1997, 977, 1553]
    assert len(art["out"]) == 409
    digest = hashlib.sha256(art["in"].astype("<i8").tobytes()).hexdigest()[:16]
    assert digest == "10a427b113d7454b", "the splits of every suite have changed: they must not"


@given(st.integers(0, 400), st.integers(0, 10), st.integers(0, 5))
def test_both_parts_make_the_whole(num: int, split_seed: int, place: int) -> None:
    parts = divided(num, split_seed, place)
    assert sorted([*parts["in"], *parts["out"]]) == list(range(num))
    assert len(parts["out"]) == int(num * 0.2)
    expected = of_domainbed(range(num), int(num * 0.2), split_seed, place)
    assert (parts["out"].tolist(), parts["in"].tolist()) == expected


def test_camelyon_keeps_its_hospitals_apart(tmp_path: Path) -> None:
    task, truth = tiny("camelyon17", tmp_path)
    hospitals = {
        "train": {task.domain_of(id) for id in task.train().ids},
        "validation": {task.domain_of(id) for id in task.validation().ids},
        "test": {task.domain_of(id) for id in opened(task)},
        "shift": {task.domain_of(id) for id in opened(task, "validation-hospital")},
    }
    learnt = {"hospital-0", "hospital-3", "hospital-4"}
    assert hospitals == {
        **{"train": learnt, "validation": learnt},
        **{"test": {"hospital-2"}, "shift": {"hospital-1"}},
    }
    assert len(opened(task, "validation-hospital")) == 6
    assert not set(opened(task, "validation-hospital")) & set(truth.classes)


@pytest.mark.parametrize(
    "line", ["0,004,4,1,1,2,0,0,0", "0,004,4,1,1,1,0,0,7", "0,004", "0,004,4/../../..,1,1,1,0,0,0"]
)
def test_a_line_that_is_no_patch_is_shown(tmp_path: Path, line: str) -> None:
    task, _ = tiny("camelyon17", tmp_path)
    table = Path(task.path) / "metadata.csv"
    table.write_text(table.read_text() + line + "\n")
    with pytest.raises(ValueError, match=r"metadata\.csv: "):
        task.train()


def test_every_suite_has_a_miniature_here() -> None:
    assert {n for n in MINIATURES if getattr(at(n, Path()), "held_out", None)} == set(SUITES)
