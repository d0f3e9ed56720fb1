"""Cells: what they may learn from, and what becomes of those that fail."""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest

from raystudy.adapt.linear_probe import LinearProbe
from raystudy.adapt.nearest_class_mean import NearestClassMean
from raystudy.failures import failures
from raystudy.kinds import Adaptation, Adapted, Encoder, Examples, Probe, Support
from raystudy.ledger import Ledger
from raystudy.plan import plan
from raystudy.run import run
from raystudy.spec import Architecture, Cell, Grid, Initialisation, Preprocessing, Study
from raystudy.stages import adapt as stage
from raystudy.stages.adapt import CellsFailedError, adapt, units
from raystudy.stages.site import InProcess
from raystudy.store import Store
from raystudy.subset import few_shot
from raystudy.tasks.digits import Digits
from raystudy.tracking import default_uri

TINY = Architecture(
    name="resnet18",
    args={"layers": [1] * 4, "channels": [8] * 4},
    preprocessing=Preprocessing(image_size=16),
)
BACKBONE = Initialisation(architecture=TINY)


class Noted(Adaptation):
    """Writes down what it was given."""

    inputs: ClassVar = "features"
    given: ClassVar[list[tuple[int, list[str], list[str]]]] = []

    @property
    def name(self) -> str:
        return "noted"

    def adapt(
        self,
        train: Examples,
        validation: Examples,
        encoder: Encoder,
        prompts: Sequence[Sequence[str]],
        seed: int,
    ) -> Adapted:
        self.given.append((seed, list(train.ids), list(validation.ids)))
        return Adapted(lambda x: np.zeros((len(x), 10), np.float32), {}, cost={"flops": 7.0})


class FailsOnce(Probe):
    """A probe whose cells of one seed fail as long as a file exists."""

    blocker: str

    @property
    def name(self) -> str:
        return "fails-once"

    def adapt_all(
        self,
        train: Examples,
        validation: Examples,
        supports: Sequence[Support],
        encoder: Encoder,
        prompts: Sequence[Sequence[str]],
    ) -> Sequence[Adapted]:
        if any(s.seed == 1 for s in supports) and Path(self.blocker).exists():
            raise FloatingPointError("no strength converges")
        return [Adapted(lambda x: np.zeros((len(x), 10), np.float32), {}) for _ in supports]


class Silent:
    def begin(self, stage: str, total: int, unit: str) -> None: ...

    def advance(self, stage: str, amount: float = 1.0) -> None: ...

    def error(self, what: str, message: str) -> None: ...

    def refresh(self) -> None: ...


def cell(adaptation: Adaptation, **fields: Any) -> Cell:
    return Cell(backbone=BACKBONE, task=Digits(), adaptation=adaptation, **fields)


@pytest.fixture
def given() -> list[tuple[int, list[str], list[str]]]:
    Noted.given.clear()
    return Noted.given


def test_a_cell_sees_its_few_shots_and_all_of_validation(store: Store, given: list) -> None:
    (unit,) = units([cell(Noted(), shots=s, seed=3) for s in (2, 5)])
    adapt(unit, store)
    train, validation = Digits().train(), Digits().validation()
    for (seed, ids, held_out), shots in zip(
        sorted(given, key=lambda g: len(g[1])), (2, 5), strict=True
    ):
        rows = few_shot(train.ids, train.labels, shots, "digits", 3)
        assert (seed, ids) == (3, [train.ids[i] for i in rows])
        assert held_out == list(validation.ids)


def test_validation_may_be_as_small_as_the_support_and_nests(store: Store, given: list) -> None:
    (unit,) = units([cell(Noted(), shots=s, validation="few-shot") for s in (1, 5, "full")])
    adapt(unit, store)
    one, five, full = (set(v) for _, _, v in sorted(given, key=lambda g: len(g[2])))
    assert (len(one), len(five), len(full)) == (10, 50, 200)
    assert one < five < full
    assert set(Ledger(store).read()["adaptation"]) == {"noted (few-shot validation)"}
    # Scores on validation are of all of it all the same.
    kept = Ledger(store).predictions(Ledger(store).read()["cell"])
    assert kept.filter(split="validation").group_by("cell").len()["len"].to_list() == [200] * 3


def test_solved_together_is_solved_one_by_one(store: Store, tmp_path: Path) -> None:
    cells = [cell(a, shots=s, seed=0) for a in (LinearProbe(), NearestClassMean()) for s in (1, 5)]
    (unit,) = units(cells)
    adapt(unit, store)
    other = Store(tmp_path / "other")
    for single in cells:
        (alone,) = units([single])
        adapt(alone, other)
    columns = ["cell", "split", "metric", "value", "chosen"]
    together, apart = (
        Ledger(s).read().filter(pl.col("split") != "cost").select(columns) for s in (store, other)
    )
    assert together.select(columns[:3]).equals(apart.select(columns[:3]))
    np.testing.assert_allclose(together["value"], apart["value"], rtol=1e-6)


def test_what_a_cell_cost_is_recorded(store: Store, given: list) -> None:
    (unit,) = units([cell(Noted(), shots=1)])
    adapt(unit, store)
    cost = Ledger(store).read().filter(split="cost")
    assert cost.select("metric", "value").rows() == [("flops", 7.0)]


def study_that_fails(blocker: Path) -> Study:
    grid = Grid(
        architectures=(TINY,),
        tasks=(Digits(),),
        adaptations=(FailsOnce(blocker=str(blocker)), NearestClassMean()),
        shots=(1, 5),
        seeds=(0, 1),
    )
    return Study(name="fails", grids=(grid,))


def drive(study: Study, store: Store, **how: bool):
    def open_site():
        return nullcontext(InProcess(store))

    return run(study, store, open_site, Silent(), default_uri(Path(store.root)), **how)


def test_a_failing_cell_stops_no_other_and_is_tried_again_on_request(
    store: Store, tmp_path: Path
) -> None:
    blocker = tmp_path / "blocker"
    blocker.touch()
    study = study_that_fails(blocker)
    outcome = drive(study, store)
    (line,) = outcome.failures.values()
    assert "no strength converges" in line
    noted = failures(store, (c.key for c in study.cells()))
    assert list(noted.values()) == ["FloatingPointError: no strength converges"] * 2
    assert len(Ledger(store).cells()) == 6
    note = json.loads(store.read("failed", f"{next(iter(noted))}.json") or b"")
    assert "raise FloatingPointError" in note["traceback"]

    blocker.unlink()
    again = drive(study, store)  # left alone, and said to be
    assert not again.failures
    assert again.plan.failed_cells == noted
    assert not again.plan.missing_cells
    assert len(Ledger(store).cells()) == 6

    retried = drive(study, store, retry_failed=True)
    assert len(retried.plan.missing_cells) == 2
    assert not retried.failures
    assert Ledger(store).cells() == {c.key for c in study.cells()}
    assert not plan(study, store).failed_cells


def test_what_another_driver_did_is_not_done_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It planned before the other was done."""
    (unit,) = units([cell(NearestClassMean(), shots=s) for s in (1, 5, 10)])
    (part,) = units(unit.cells[:2])
    adapt(part, store)
    evaluated: list[str] = []
    original = stage.evaluate

    def noting(fitted: Any, *args: Any) -> Any:
        evaluated.extend(f.cell.key for f in fitted)
        return original(fitted, *args)

    monkeypatch.setattr(stage, "evaluate", noting)
    adapt(unit, store)
    assert evaluated == [unit.cells[2].key]
    adapt(unit, store)
    assert evaluated == [unit.cells[2].key]


def test_a_broken_image_fails_its_unit_by_name(store: Store) -> None:
    """Nothing of it is recorded as failed: the data may be mended."""

    class Broken(Digits):
        def train(self) -> Examples:
            raise OSError("images/cat.jpg is damaged")

    (unit,) = units([Cell(backbone=BACKBONE, task=Broken(), adaptation=LinearProbe(), shots=1)])
    with pytest.raises(OSError, match=r"cat\.jpg is damaged") as caught:
        adapt(unit, store)
    assert not isinstance(caught.value, CellsFailedError)
    assert not failures(store, [unit.key])
