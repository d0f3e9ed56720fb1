"""What a comparison of models looks at beside the records, against a loop over predictions."""

from collections import defaultdict

import numpy as np
import pytest

from raystudy.adapt.linear_probe import LinearProbe
from raystudy.adapt.nearest_class_mean import NearestClassMean
from raystudy.annotate import role
from raystudy.ledger import Ledger
from raystudy.metrics.ece import ECE
from raystudy.spec import Architecture, Cell, Initialisation, Preprocessing
from raystudy.stages.adapt import adapt, units
from raystudy.stages.answers import Answers, answers
from raystudy.stages.promise import SCORES, promises
from raystudy.stages.score import score, unscored
from raystudy.store import Store
from raystudy.tasks.digits import Digits
from raystudy.tasks.glyph_domains import GlyphDomains

TINY = Architecture(
    name="resnet18",
    args={"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]},
    preprocessing=Preprocessing(image_size=16, grayscale=True, standardise="image"),
)


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    tasks = (GlyphDomains(held_out="printed", images_per_domain=100), Digits())
    return [
        Cell(
            backbone=Initialisation(architecture=TINY, seed=seed),
            task=task,
            adaptation=probe,
            shots="full",
            seed=seed,
        )
        for seed in (0, 1)
        for task in tasks
        for probe in (LinearProbe(), NearestClassMean())
    ]


@pytest.fixture(scope="module")
def store(cells: list[Cell], tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("hits"))
    for unit in units(cells):
        adapt(unit, store)
    return store


@pytest.fixture(scope="module")
def found(cells: list[Cell], store: Store) -> Answers:
    return answers(cells, store)


def test_hits_are_shares_of_seeds_and_shifts(
    cells: list[Cell], store: Store, found: Answers
) -> None:
    hits = found.hits
    assert len(hits) == 4  # two tasks, two probes: seeds are no models
    right: defaultdict[tuple[str, str, str], list[bool]] = defaultdict(list)
    for cell in cells:
        for row in Ledger(store).predictions([cell.key]).iter_rows(named=True):
            shift = row["split"].removeprefix("test-")
            is_out = shift in Digits().shifts if cell.task.name == "digits" else shift == "test"
            if is_out:
                hit = int(np.argmax(row["logits"])) == row["label"]
                right[cell.task.name, cell.adaptation.name, row["id"]].append(hit)
    for row in hits.iter_rows(named=True):
        of = [v for k, v in right.items() if k[:2] == (row["task"], row["adaptation"])]
        assert len(of[0]) == (10 if row["task"] == "digits" else 2)
        assert row["hits"] == pytest.approx([np.mean(v) for v in of])


def test_intervals_are_about_the_means_of_the_ledger(
    cells: list[Cell], store: Store, found: Answers
) -> None:
    metric = ECE(debiased=True)
    score(unscored([c.key for c in cells], [metric], store), store, lambda _: None)
    records = Ledger(store).read([c.key for c in cells], [metric])
    roles = {c.task.name: {s: str(role(c.task, s)) for s in set(records["split"])} for c in cells}
    for way in ("linear-probe", "nearest-class-mean"):
        own = records.filter(adaptation=way)
        for row in found.spreads.filter(adaptation=way).iter_rows(named=True):
            if row["column"].startswith(("ood_in", "ood_out", "ood_mean")):
                continue
            prefix, _, name = row["column"].partition("_")
            values = defaultdict(list)
            for r in own.filter(metric=name).iter_rows(named=True):
                if roles[r["task"]][r["split"]] == prefix:
                    values[r["task"]].append(r["value"])
            mean = np.mean([np.mean(v) for v in values.values()])
            assert row["num_tasks"] == 2
            assert row["value"] == pytest.approx(mean, abs=1e-6)
            assert row["low"] < row["value"] < row["high"]


def test_parts_of_a_domain_are_of_one_task_alone(found: Answers) -> None:
    """Digits has none, so that there is no mean over both tasks."""
    assert not [c for c in found.spreads["column"] if c.startswith(("ood_in", "ood_mean"))]


def test_classes_are_those_of_the_first_seed(
    cells: list[Cell], store: Store, found: Answers
) -> None:
    cell = next(c for c in cells if c.task.name != "digits" and c.seed == 0)
    rows = Ledger(store).predictions([cell.key])
    of = found.classes.filter(task=cell.task.name, adaptation=cell.adaptation.name)
    for column, split in (("id", "validation"), ("ood", "test")):
        logits = rows.filter(split=split)["logits"].to_list()
        assert of[column][0].to_list() == [int(np.argmax(one)) for one in logits]


def test_every_backbone_and_task_is_scored_once(cells: list[Cell], store: Store) -> None:
    found = promises(cells, store)
    assert set(found["score"]) == set(SCORES)
    assert len(found) == 2 * 2 * len(SCORES)
    assert found.equals(promises(cells, store))
    assert len(store.done_keys("promises")) == 4


def test_what_has_no_features_is_left_out(cells: list[Cell], tmp_path) -> None:
    assert promises(cells, Store(tmp_path)).is_empty()
