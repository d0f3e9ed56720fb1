"""A study is planned before its data is there; a run waits for the data."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from raystudy.absent import NotHere, TaskNotHere, expected
from raystudy.adapt.linear_probe import LinearProbe
from raystudy.experiment import load
from raystudy.kinds import OnDisk, Source, Task
from raystudy.plan import plan
from raystudy.shards.manifest import build
from raystudy.sources.captioned import Captioned
from raystudy.sources.glyphs import Glyphs
from raystudy.sources.mixture import Mixture
from raystudy.sources.webdataset import WebDataset
from raystudy.spec import Architecture, Grid, Published, Study
from raystudy.store import Store
from raystudy.tasks.digits import Digits
from raystudy.tasks.dtd import DTD
from raystudy.tasks.vtab import Vtab

from .tasks.miniatures import tiny

PAPER_1 = Path(__file__).parents[1] / "experiments" / "role_of_pretraining_data.py"
LATIN = Glyphs(script="latin", num_examples=300, image_size=16)


def of(study: Study, *sources: Source) -> Study:
    grids = [g.model_copy(update={"sources": sources}) if g.methods else g for g in study.grids]
    return study.model_copy(update={"grids": grids})


def sources_of(study: Study) -> list[Source]:
    return [source for grid in study.grids if grid.methods for source in grid.sources]


@pytest.fixture
def shards(tmp_path: Path) -> str:
    """Glyphs as if they were somebody's tars."""
    folder = tmp_path / "shards"
    LATIN.render(folder)
    return str(folder)


def test_with_all_data_here_a_study_is_itself(study: Study, shards: str) -> None:
    build(WebDataset(path=shards))
    whole = of(study, LATIN, WebDataset(path=shards))
    same, absent = expected(whole)
    assert same is whole
    assert absent == []


def test_data_that_is_not_here_is_counted_and_named(study: Study, store: Store) -> None:
    nowhere = WebDataset(path="nope", label="web")
    planned, absent = expected(of(study, LATIN, nowhere, WebDataset(path="elsewhere")))
    assert [(a.name, a.of, a.place) for a in absent] == [
        ("web", "WebDataset", "nope"),
        (WebDataset(path="elsewhere").name, "WebDataset", "elsewhere"),
    ]
    todo = plan(planned, store)
    assert len(todo.pretrainings) == 3 * len(plan(study, store).pretrainings)
    assert todo.missing_pretrainings == todo.pretrainings
    assert not Path(store.root).exists() or not list(Path(store.root).iterdir())


def test_what_is_asked_for_twice_is_counted_once(study: Study, store: Store) -> None:
    nowhere = [WebDataset(path="nope") for _ in range(2)]
    planned, absent = expected(of(study, *nowhere))
    assert len(absent) == 1
    assert len(plan(planned, store).pretrainings) == len(plan(study, store).pretrainings)


def test_a_run_is_refused_until_the_data_is_here(study: Study, store: Store, shards: str) -> None:
    waiting = of(study, WebDataset(path=shards))
    with pytest.raises(FileNotFoundError, match="no manifest yet"):
        plan(waiting, store)
    provisional = {p.key for p in plan(expected(waiting)[0], store).pretrainings}
    build(WebDataset(path=shards))
    arrived = of(study, WebDataset(path=shards))
    assert expected(arrived)[1] == []
    real = {p.key for p in plan(arrived, store).pretrainings}
    assert not provisional & real
    assert len(provisional) == len(real)


def test_a_source_that_was_planned_is_keyed_by_its_content_later(shards: str) -> None:
    """Nothing provisional sticks to a spec, though its key is worked out once."""
    source = WebDataset(path=shards)
    study = load(PAPER_1).study(["--seeds", "1"])
    planned, _ = expected(of(study, source))
    assert {p.key for p in planned.cells()}
    build(source)
    assert source.key == WebDataset(path=shards).key


def test_sources_made_of_absent_ones_are_planned_too(study: Study, store: Store) -> None:
    nowhere = WebDataset(path="nope")
    mixed = Mixture(sources=(LATIN, nowhere), weights=(1, 3))
    planned, absent = expected(of(study, Captioned(source=mixed)))
    assert [a.place for a in absent] == ["nope"]
    (source, *_) = sources_of(planned)
    assert source.name == Captioned(source=mixed).name
    assert plan(planned, store).sources == [LATIN]
    mixture = source.inputs()[0]
    assert isinstance(mixture, Mixture)
    assert mixture.weights == (1, 3)
    assert isinstance(mixture.sources[1], NotHere)


def test_settings_tell_absent_data_apart(study: Study) -> None:
    a, b = WebDataset(path="nope"), WebDataset(path="nope", label="other")
    planned, absent = expected(of(study, a, b))
    assert len(absent) == 2
    assert len({s.key for s in sources_of(planned)}) == 2


@pytest.mark.parametrize("seeds", [1, 2])
def test_paper_1_plans_without_any_data(
    seeds: int, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study = load(PAPER_1).study(["--scale", "paper", "--seeds", str(seeds)])
    planned, absent = expected(study)
    assert len(absent) == 9 + 9  # sources and tasks
    todo = plan(planned, store)
    # CLIP on 1 + 6 + 6 + 6 + 5 + 6 + 3 sizes and two kinds of ImageNet captions, SimCLR on seven.
    assert len(todo.pretrainings) == (33 + 2 + 7 + 1) * seeds
    equal = [p for p in todo.pretrainings if p.size == 2_700_000]
    assert {p.method.name for p in equal} == {"clip", "simclr"}
    assert len({p.source.name for p in equal}) == 7
    assert {p.budget.batch_size for p in equal if p.source.name == "cc-3m"} == {512, 1024}


def test_paper_1_on_a_laptop_compares_seven_sources_at_equal_size(store: Store) -> None:
    todo = plan(load(PAPER_1).study(["--seeds", "1"]), store)
    assert not [s for s in todo.sources if isinstance(s, OnDisk)]
    equal: dict[str, Any] = {}
    for p in todo.pretrainings:
        if p.size == 1_500 and p.noise is None:
            equal.setdefault(p.method.name, set()).add(p.source.name)
    assert {name: len(sources) for name, sources in equal.items()} == dict.fromkeys(
        ("clip", "simclr", "supervised"), 7
    )


def test_an_empty_folder_is_not_data(study: Study, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "0.tar", "w"):
        pass
    _, absent = expected(of(study, WebDataset(path=str(tmp_path))))
    assert len(absent) == 1
    build(WebDataset(path=str(tmp_path)))
    described = json.loads(next(tmp_path.glob("_raystudy/*/manifest.json")).read_text())
    assert described["num_examples"] == 0
    assert expected(of(study, WebDataset(path=str(tmp_path))))[1] == []


def on(study: Study, *tasks: Task) -> Study:
    grids = [g.model_copy(update={"tasks": tasks}) for g in study.grids]
    return study.model_copy(update={"grids": grids})


def test_tasks_that_are_not_here_are_counted_and_named(study: Study, store: Store) -> None:
    planned, absent = expected(on(study, Digits(), DTD(path="nope"), DTD(path="nope")))
    assert [(a.name, a.of, a.place) for a in absent] == [("dtd", "DTD", "nope")]
    assert isinstance(absent[0], TaskNotHere)
    todo = plan(planned, store)
    assert len(todo.cells) == 2 * len(plan(study, store).cells)
    assert {c.task.name for c in todo.missing_cells} == {"digits", "dtd"}
    assert [g.tasks[0] for g in planned.grids] == [Digits(), Digits()]


def test_a_run_is_refused_until_the_task_is_here(
    study: Study, store: Store, tmp_path: Path
) -> None:
    waiting = on(study, DTD(path=str(tmp_path)))
    with pytest.raises(FileNotFoundError, match=r"DTD\.path=.*: no labels/train1\.txt"):
        plan(waiting, store)
    task, _ = tiny("dtd", tmp_path)
    arrived = on(study, task)
    same, absent = expected(arrived)
    assert same is arrived
    assert absent == []
    provisional = expected(waiting)[0].grids[0].tasks[0]
    assert provisional.key != task.key
    assert provisional.size == task.size


def test_a_stand_in_has_nothing_to_give() -> None:
    nowhere = Vtab(path="nope", dataset="kitti")
    study = Study(name="s", grids=(baseline(nowhere),))
    (task,) = expected(study)[0].grids[0].tasks
    for read in (task.train, task.validation):
        with pytest.raises(FileNotFoundError, match=r"Vtab\.path=nope: vtab-kitti is not there"):
            read()


def test_settings_tell_absent_tasks_apart() -> None:
    tasks = [Vtab(path="nope", dataset="kitti"), Vtab(path="nope", dataset="dmlab")]
    planned, absent = expected(Study(name="s", grids=(baseline(*tasks),)))
    assert len({task.key for task in planned.grids[0].tasks}) == len(absent) == 2


def baseline(*tasks: Task) -> Grid:
    """A grid that pre-trains nothing."""
    return Grid(
        architectures=(Architecture(name="resnet18"),),
        tasks=tasks,
        adaptations=(LinearProbe(),),
    )


def test_a_published_backbone_is_planned_without_its_weights(
    study: Study, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And nothing is downloaded for a plan."""

    def refuse(*_: object) -> None:
        raise AssertionError("a plan downloads nothing")

    monkeypatch.setattr("raystudy.hub.files.fetch", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    models = ("timm/resnet18.a1_in1k", "hf-hub:nobody/nothing")
    grid = study.grids[0].model_copy(
        update={"published": [Published(model=m) for m in models], "methods": ()}
    )
    planned, absent = expected(study.model_copy(update={"grids": (grid,)}))
    assert [(a.name, a.of) for a in absent] == [(m, "Published") for m in models]
    assert len({c.backbone.key for c in plan(planned, store).cells}) == 2
    with pytest.raises(ValueError, match="offered by nobody"):
        expected(
            study.model_copy(
                update={
                    "grids": (
                        grid.model_copy(
                            update={"published": [Published(model="timm/resnet18.nobody")]}
                        ),
                    )
                }
            )
        )


def test_weights_that_are_here_are_planned_as_they_are(study: Study, tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"not read by a plan")
    here = Published(model="timm/resnet18", weights=str(weights))
    grid = study.grids[0].model_copy(update={"published": [here], "methods": ()})
    whole = study.model_copy(update={"grids": (grid,)})
    assert expected(whole) == (whole, [])
