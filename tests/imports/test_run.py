"""Studies of tables: run, mirrored and reported as if their cells had been computed."""

from __future__ import annotations

from pathlib import Path

import pytest

from raystudy.drawn import report
from raystudy.imported import Imported
from raystudy.imports import read_all
from raystudy.ledger import Ledger
from raystudy.metrics.brier import Brier
from raystudy.report.view import views
from raystudy.run import run
from raystudy.spec import Study
from raystudy.store import Store
from raystudy.tracking import default_uri

from ..stages.test_run import Silent, drive
from .tables import studied, written

ROWS = [
    {"source": s, "size": n, "shots": k, "seed": r, "architecture": "RN50", "value": v + 0.01 * r}
    for s, gain in (("web", 0.1), ("books", 0.0))
    for n, v0 in ((100, 0.3), (200, 0.35), (400, 0.38))
    for k, v in (("1", v0 + gain), ("full", v0 + gain + 0.3))
    for r in (0, 1)
]


@pytest.mark.slow
def test_a_study_of_a_table_runs_without_computing(tmp_path: Path, store: Store) -> None:
    spec = Imported(path=written(tmp_path, ROWS), constants={"task": "../pets's"})
    study = studied(spec, metrics=(Brier(),))
    uri = default_uri(Path(store.root))
    for _ in range(2):
        outcome = run(study, store, lambda: pytest.fail("computed"), Silent(), uri)
        assert not outcome.failures
        assert outcome.report
        assert "24 cells of 24 rows, content " in Path(outcome.report).read_text()
    assert len(Ledger(store).read()) == 24

    from mlflow import MlflowClient

    client = MlflowClient(uri)
    (experiment,) = client.search_experiments(filter_string="name = 'imported'")
    found = client.search_runs([experiment.experiment_id])
    logged = {m for r in found for m in r.data.metrics}
    assert "_/pets_s/test/accuracy" in logged


@pytest.mark.slow
def test_a_table_stands_beside_what_was_computed(
    tmp_path: Path, study: Study, store: Store
) -> None:
    places = {"architecture": "resnet18", "task": "digits", "adaptation": "linear-probe"}
    rows = [r | places for r in ROWS]
    table = Imported(path=written(tmp_path, rows), constants={"method": "supervised"})
    both = study.model_copy(update={"tables": (table,)})
    assert both.cells() == study.cells()
    outcome = drive(both, store)
    assert not outcome.failures
    (found,) = read_all(both)
    assert set(found.cells) < Ledger(store).cells()
    records = Ledger(store).read([*found.cells, *(c.key for c in both.cells())])
    (view,) = views(both, records)
    assert view.sources == ("latin", "books", "web"), "those of the grids come first"
    assert report(study, store, Silent()), "the study without its table is as it was"
    alone = Ledger(store).read(c.key for c in study.cells())
    assert "web" not in set(alone["source"])


def test_a_study_asks_for_something(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="neither grids nor tables"):
        Study(name="nothing")
    assert studied(Imported(path=written(tmp_path, ROWS))).cells() == []
