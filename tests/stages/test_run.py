"""A whole study in one process: computed once, healed, mirrored, reported."""

import os
import tarfile
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from raystudy import seal
from raystudy.driver import BusyError
from raystudy.ledger import Ledger
from raystudy.metrics.accuracy import Accuracy
from raystudy.plan import plan
from raystudy.run import run
from raystudy.shards.manifest import build
from raystudy.sources.glyphs import Glyphs
from raystudy.sources.webdataset import WebDataset
from raystudy.spec import Study
from raystudy.stages.site import InProcess
from raystudy.store import Store
from raystudy.tasks.digits import Digits
from raystudy.tracking import default_uri

pytestmark = pytest.mark.slow  # whole studies


class Silent:
    def __init__(self) -> None:
        self.errors: list[str] = []

    def begin(self, stage: str, total: int, unit: str) -> None: ...

    def advance(self, stage: str, amount: float = 1.0) -> None: ...

    def error(self, what: str, message: str) -> None:
        self.errors.append(f"{what}: {message}")

    def refresh(self) -> None: ...


@pytest.fixture(scope="module", autouse=True)
def _no_server() -> None:
    os.environ.pop("MLFLOW_TRACKING_URI", None)


def drive(study: Study, store: Store):
    uri = default_uri(Path(store.root))
    return run(study, store, lambda: nullcontext(InProcess(store)), Silent(), uri)


def values(store: Store) -> pl.DataFrame:
    return Ledger(store).read().select("cell", "split", "metric", "value")


def test_a_study_runs_once_and_heals(study: Study, store: Store, tmp_path: Path) -> None:
    outcome = drive(study, store)
    assert not outcome.failures
    assert outcome.report
    assert Path(outcome.report).exists()
    first = values(store)
    assert set(first["cell"]) == {c.key for c in study.cells()}

    # Nothing is missing: no site is opened.
    uri = default_uri(Path(store.root))
    again = run(study, store, lambda: pytest.fail("computed again"), Silent(), uri)
    assert again.report == outcome.report

    # Lost cells, a lost backbone: the same command finishes just what is missing.
    files = sorted((Path(store.root) / "ledger" / "records").glob("*.parquet"))
    files[0].unlink()
    lost = plan(study, store)
    assert 0 < len(lost.missing_cells) < len(lost.cells)
    assert not lost.missing_pretrainings
    assert not drive(study, store).failures
    assert values(store).equals(first)

    # MLflow holds what the ledger holds.
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    (experiment,) = client.search_experiments(filter_string="name = 'small'")
    runs = client.search_runs([experiment.experiment_id], max_results=200)
    assert {r.info.status for r in runs} == {"FINISHED"}
    stages = pl.Series([r.data.tags["stage"] for r in runs]).value_counts()
    counts = dict(stages.iter_rows())
    assert counts["pretraining"] == 4
    assert counts["analysis"] == 1
    accuracy = (
        Ledger(store).read().filter((pl.col("metric") == "accuracy") & (pl.col("split") == "test"))
    )
    for row in accuracy.iter_rows(named=True):
        match = [
            m.value
            for r in runs
            if r.data.tags.get("backbone") == row["backbone"]
            and r.data.tags.get("adaptation") == row["adaptation"]
            for m in client.get_metric_history(r.info.run_id, "digits/test/accuracy")
            if m.step == row["num_train"]
        ]
        assert match == [pytest.approx(row["value"])]


def test_metrics_can_be_recomputed_from_predictions(study: Study, store: Store) -> None:
    drive(study, store)
    ledger = Ledger(store)
    with seal.opened():
        test = Digits().sealed()
    records = ledger.read().filter((pl.col("metric") == "accuracy") & (pl.col("split") == "test"))
    predictions = ledger.predictions(records["cell"]).filter(pl.col("split") == "test")
    for (cell,), frame in predictions.group_by("cell"):
        assert frame["id"].to_list() == list(test.ids)
        assert frame["label"].to_list() == test.labels.tolist()
        logits = frame["logits"].to_numpy()
        value = Accuracy().compute(np.stack(list(logits)), test.labels)
        assert records.filter(pl.col("cell") == cell)["value"].to_list() == [value]


def test_a_second_driver_is_refused(study: Study, store: Store) -> None:
    def open_site():
        with pytest.raises(BusyError, match="another driver is running study 'small'"):
            drive(study, store)
        return nullcontext(InProcess(store))

    outcome = run(study, store, open_site, Silent(), default_uri(Path(store.root)))
    assert not outcome.failures


def test_labels_of_the_test_split_change_no_adaptation(
    study: Study, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permute the sealed labels: every logit stays as it was."""
    drive(study, store)
    other = Store(tmp_path / "other")
    original = Digits._test

    def permuted(self: Digits, shift: str | None):
        examples = original(self, shift)
        return type(examples)(examples.ids, examples.inputs, examples.labels[::-1].copy())

    monkeypatch.setattr(Digits, "_test", permuted)
    from raystudy.stages import evaluate

    evaluate._kept.cache_clear()
    drive(study, other)
    evaluate._kept.cache_clear()
    cells = [c.key for c in study.cells()]
    keys = ["cell", "split", "id"]
    first = Ledger(store).predictions(cells).sort(keys)
    second = Ledger(other).predictions(cells).sort(keys)
    assert first.select(*keys, "logits").equals(second.select(*keys, "logits"))
    assert not values(store).equals(values(other))


def test_damage_in_the_data_reaches_report_and_mlflow(
    study: Study, store: Store, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    data = tmp_path / "data"
    source = study.grids[0].sources[0]
    assert isinstance(source, Glyphs)
    source.render(data)
    tar = data / "00000.tar"
    content = bytearray(tar.read_bytes())
    with tarfile.open(tar) as members:
        images = [m for m in members if m.name.endswith(".png")]
    for member in images[:3]:  # no longer an image
        content[member.offset_data : member.offset_data + 8] = b"<html>!!"
    for member in images[3:13]:  # still one, as far as its header says
        content[member.offset_data + 60 : member.offset_data + member.size] = bytes(
            member.size - 60
        )
    tar.write_bytes(content)
    shards = WebDataset(path=str(data), label="shards")
    build(shards)
    grid = study.grids[0].model_copy(
        update={"sources": (shards,), "noises": (None,), "sizes": (64, 287)}
    )
    damaged = study.model_copy(update={"grids": (grid, study.grids[1])})
    outcome = drive(damaged, store)
    assert not outcome.failures
    assert outcome.report
    page = Path(outcome.report).read_text()
    assert "not a JPEG, PNG or WebP image: 3" in page
    assert "an image that cannot be decoded: 10" in page
    client = MlflowClient(default_uri(Path(store.root)))
    (experiment,) = client.search_experiments(filter_string="name = 'small'")
    runs = client.search_runs([experiment.experiment_id], "tags.stage = 'pretraining'")
    largest = next(r for r in runs if "287" in str(r.info.run_name))
    assert largest.data.metrics["left_out/not_an_image"] == 3
    assert largest.data.metrics["replaced/bad_image"] == 10
