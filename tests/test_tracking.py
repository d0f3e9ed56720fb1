"""The MLflow mirror, read back by sqlite itself or by a client of its own."""

import contextlib
import json
import logging
import math
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from raystudy.kinds import Spec
from raystudy.ledger import SCHEMA
from raystudy.mlflow_ui import ui
from raystudy.tracking import Tracker, check, default_uri

SHOTS = {"1": 10, "5": 50, "10": 100, "20": 200, "full": 1000}


class Inner(Spec):
    rate: float = 0.5
    sizes: tuple[int, ...] = ()


class Outer(Spec):
    inner: Inner
    text: str


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One empty database: its migration takes seconds, a copy does not."""
    folder = tmp_path_factory.mktemp("migrated")
    Tracker(f"sqlite:///{folder}/mlflow.db", "template")
    return folder / "mlflow.db"


@pytest.fixture
def uri(migrated: Path, tmp_path: Path) -> str:
    shutil.copy(migrated, tmp_path / "mlflow.db")
    return default_uri(tmp_path)


def rows(uri: str, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as connection:
        return connection.execute(query).fetchall()


def tags(uri: str, key: str) -> dict[str, str]:
    return dict(
        rows(
            uri,
            "SELECT key, value FROM tags WHERE run_uuid IN "
            f"(SELECT run_uuid FROM tags WHERE key = 'raystudy.key' AND value = '{key}')",
        )
    )


def statuses(uri: str) -> dict[str, str]:
    query = "SELECT t.value, r.status FROM runs r JOIN tags t USING (run_uuid)"
    return dict(rows(uri, query + " WHERE t.key = 'raystudy.key'"))


def cells(backbone: str = "b0", shots: tuple[str, ...] = tuple(SHOTS), **change: Any):
    """Records of one backbone × task × adaptation: two splits, two metrics."""
    table = [
        {
            "cell": f"{backbone}-{shot}-{change.get('seed', 0)}",
            "backbone": backbone,
            "method": "supervised",
            "source": "latin",
            "size": 4000,
            "noise": "symmetric",
            "noise_rate": 0.3,
            "realised_noise": None,
            "architecture": "resnet",
            "task": "digits",
            "adaptation": "linear-probe",
            "shots": shot,
            "num_train": SHOTS[shot],
            "seed": 0,
            "split": split,
            "metric": metric,
            "value": SHOTS[shot] / 1000,
            "chosen": "{}",
            "num_tried": 8,
            "seconds": 3.0,
        }
        | change
        for shot in shots
        for split in ("test", "test-blurred")
        for metric in ("accuracy", "nll")
    ]
    return pl.DataFrame(table, schema=SCHEMA)


def test_default_is_one_absolute_file_in_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_uri(Path("store")) == f"sqlite:////{str(tmp_path)[1:]}/store/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert default_uri(Path("store")) == "http://127.0.0.1:1"


def test_new_database_is_quiet_and_stays_in_the_store(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    elsewhere, store = tmp_path / "elsewhere", tmp_path / "a store"
    elsewhere.mkdir()
    store.mkdir()
    (store / ".mlflow.db.part").write_bytes(b"left by a driver that was killed while migrating")
    monkeypatch.chdir(elsewhere)
    caplog.set_level(logging.INFO)
    tracker = Tracker(default_uri(store), "study")
    tracker.start("k", "run", spec=Outer(inner=Inner(), text="x").describe())
    tracker.finish("k")
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert not list(elsewhere.iterdir())
    assert [p.name for p in (store / "mlartifacts").rglob("*.json")] == ["spec.json"]


def test_run_carries_axes_and_spec(uri: str) -> None:
    spec = Outer(inner=Inner(rate=0.25, sizes=(3, 4)), text="t" * 9000).describe()
    many = {f"p{i}": i for i in range(250)}
    tracker = Tracker(uri, "study")
    tracker.start("k", "latin 4000", axes={"method": "clip", "noise_rate": 0.3}, spec=spec | many)
    assert (
        tags(uri, "k").items()
        >= {
            "method": "clip",
            "noise_rate": "0.3",
            "stage": "pretraining",
            "mlflow.runName": "latin 4000",
        }.items()
    )
    params = dict(rows(uri, "SELECT key, value FROM params"))
    assert params["class"] == "Outer"
    assert (params["inner"], params["inner.rate"]) == ("Inner", "0.25")
    assert params["inner.sizes"] == "[3, 4]"
    assert params["text"] == "t" * 6000
    [(artifacts,)] = rows(uri, "SELECT artifact_uri FROM runs")
    assert json.loads((Path(artifacts) / "spec.json").read_text()) == spec | many


def test_no_step_twice_across_a_restart(uri: str) -> None:
    points = [(step, {"train/loss": 1 / (step + 1)}) for step in range(3000)]
    points[2500][1]["validation/loss"] = 0.5
    first = Tracker(uri, "study")
    first.start("k", "run", spec={"a": 1})
    first.log("k", points[:2000])
    first.log("k", points[1000:2100])
    second = Tracker(uri, "study")
    second.start("k", "run", spec={"a": 1})
    second.log("k", points[1500:])
    second.finish("k")
    assert statuses(uri) == {"k": "FINISHED"}
    history = rows(uri, "SELECT step, value FROM metrics WHERE key = 'train/loss' ORDER BY step")
    assert history == [(step, values["train/loss"]) for step, values in points]
    assert rows(uri, "SELECT step FROM metrics WHERE key = 'validation/loss'") == [(2500,)]


def test_what_is_not_finite_reads_nan(uri: str) -> None:
    tracker = Tracker(uri, "study")
    tracker.start("k", "run")
    tracker.log("k", [(0, {"loss": math.inf}), (1, {"loss": math.nan}), (2, {"loss": -math.inf})])
    tracker.log_cells(cells().with_columns(value=pl.lit(math.inf)))
    stored = rows(uri, "SELECT is_nan, value FROM metrics")
    assert len(stored) == 3 + len(cells())
    assert set(stored) == {(1, 0.0)}


def test_orphans_are_killed_and_may_be_continued(uri: str) -> None:
    dead = Tracker(uri, "study")
    for key in ("done", "failed", "orphan"):
        dead.start(key, key)
        dead.log(key, [(0, {"loss": 1.0})])
    dead.finish("done")
    dead.finish("failed", "FAILED", "RuntimeError: no memory")
    other = Tracker(uri, "another-study")
    other.start("theirs", "theirs")
    assert tags(uri, "failed")["raystudy.error"] == "RuntimeError: no memory"

    tracker = Tracker(uri, "study")
    assert tracker.reconcile() == 1
    assert tracker.reconcile() == 0
    expected = {"done": "FINISHED", "failed": "FAILED", "orphan": "KILLED", "theirs": "RUNNING"}
    assert statuses(uri) == expected
    assert "driver was gone" in tags(uri, "orphan")["raystudy.interrupted"]
    [(ended, logged)] = rows(
        uri,
        "SELECT r.end_time, m.timestamp FROM runs r JOIN metrics m USING (run_uuid) "
        "WHERE r.status = 'KILLED'",
    )
    assert ended == logged

    for key in ("orphan", "failed"):
        tracker.start(key, key)
        assert statuses(uri)[key] == "RUNNING"
        tracker.finish(key)
    assert statuses(uri) == expected | {"orphan": "FINISHED", "failed": "FINISHED"}
    assert "raystudy.error" not in tags(uri, "failed")
    assert len(rows(uri, "SELECT * FROM runs")) == 4


def test_cells_become_stepped_metrics_once(uri: str) -> None:
    everything = pl.concat([cells("b0"), cells("b1", seed=1)])
    tracker = Tracker(uri, "study")
    tracker.start("b0", "pre-training")
    tracker.log_cells(everything.filter(pl.col("shots").is_in(["5", "full"])))
    tracker.log_cells(everything.filter(pl.col("shots") != "1"))
    for again in (tracker, Tracker(uri, "study")):
        again.log_cells(everything)
        again.log_cells(everything.sample(fraction=1, shuffle=True, seed=0))
    curve = (
        "SELECT step, metrics.value FROM metrics JOIN tags USING (run_uuid) WHERE tags.value = 'b0'"
    )
    curve += " AND tags.key = 'backbone' AND metrics.key = 'digits/test-blurred/nll' ORDER BY step"
    assert rows(uri, curve) == [(n, n / 1000) for n in SHOTS.values()]
    assert rows(uri, "SELECT count(*) FROM metrics") == [(len(everything),)]

    keys = {"b0": "b0/digits/linear-probe/0", "b1": "b1/digits/linear-probe/1"}
    assert statuses(uri) == {"b0": "RUNNING"} | dict.fromkeys(keys.values(), "FINISHED")
    [(parent,)] = rows(uri, "SELECT run_uuid FROM tags WHERE value = 'b0' AND key = 'raystudy.key'")
    found = tags(uri, keys["b0"])
    assert found["mlflow.parentRunId"] == parent
    assert "mlflow.parentRunId" not in tags(uri, keys["b1"])
    expected = {"stage": "downstream", "seed": "0", "noise_rate": "0.3", "size": "4000"}
    assert found.items() >= expected.items()
    assert "realised_noise" not in found


def test_cells_survive_a_kill_at_any_call(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    class KilledError(BaseException):
        pass

    def killed(*_: Any, **__: Any) -> None:
        raise KilledError

    for method in ("log_batch", "set_terminated"):
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, method, killed)
            with pytest.raises(KilledError):
                Tracker(uri, "study").log_cells(cells())
        assert set(statuses(uri).values()) == {"RUNNING"}
    tracker = Tracker(uri, "study")
    tracker.reconcile()
    tracker.log_cells(cells())
    assert statuses(uri) == {"b0/digits/linear-probe/0": "FINISHED"}
    assert rows(uri, "SELECT count(*) FROM metrics") == [(len(cells()),)]
    assert ("source", "latin") in rows(uri, "SELECT key, value FROM params")


def test_what_was_heard_without_an_answer_is_not_told_twice(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a server dies between doing what it was told and saying so."""
    from mlflow import MlflowClient

    rng, lost = random.Random(0), []

    def unanswered(method: str) -> Any:
        asked = getattr(MlflowClient, method)

        def ask(*args: Any, **kwargs: Any) -> Any:
            answer = asked(*args, **kwargs)
            if method not in lost or rng.random() < 0.4:
                lost.append(method)
                raise ConnectionResetError
            return answer

        return ask

    for method in ("create_run", "update_run", "log_batch", "set_terminated", "set_tag"):
        monkeypatch.setattr(MlflowClient, method, unanswered(method))
    tracker = Tracker(uri, "study")
    steps = range(2000)

    def persist(call: Any, *args: Any, **kwargs: Any) -> None:
        for _ in range(50):
            with contextlib.suppress(ConnectionResetError):
                return call(*args, **kwargs)
        raise AssertionError("it never works")

    persist(tracker.start, "b0", "run", axes={"seed": 0}, spec={"a": 1})
    for first in (0, 700):
        persist(tracker.log, "b0", [(s, {"loss": s / 7, "rate": 0.5}) for s in steps[first:]])
    persist(tracker.finish, "b0", "FAILED", "no memory")
    persist(tracker.log_cells, cells())
    assert {"create_run", "log_batch", "set_terminated"} <= set(lost)
    assert statuses(uri) == {"b0": "FAILED", "b0/digits/linear-probe/0": "FINISHED"}
    assert len(rows(uri, "SELECT * FROM runs")) == 2
    history = rows(uri, "SELECT step, value FROM metrics WHERE key = 'loss' ORDER BY step")
    assert history == [(s, s / 7) for s in steps]
    assert rows(uri, "SELECT count(*) FROM metrics") == [(2 * len(steps) + len(cells()),)]


def test_more_runs_than_a_page(uri: str) -> None:
    tracker = Tracker(uri, "study")
    tracker.start("k", "run")
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as connection:
        for table in ("runs", "tags"):
            cursor = connection.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in cursor.description]
            originals = [dict(zip(names, row, strict=True)) for row in cursor]
            copies = [
                tuple(
                    {**row, "run_uuid": f"{i:032x}"}[name]
                    if not (name == "value" and row.get("key") == "raystudy.key")
                    else f"k{i}"
                    for name in names
                )
                for i in range(1050)
                for row in originals
            ]
            marks = ",".join("?" * len(names))
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", copies)
    again = Tracker(uri, "study")
    for i in (0, 500, 1049):
        again.start(f"k{i}", "run")
    again.start("k", "run")
    assert len(rows(uri, "SELECT * FROM runs")) == 1051


def test_report_replaces_the_one_before(uri: str, tmp_path: Path) -> None:
    for figure in ("old.pdf", "new.pdf"):
        folder = tmp_path / figure.removesuffix(".pdf")
        (folder / "figures").mkdir(parents=True)
        (folder / "figures" / figure).write_bytes(b"%PDF")
        (folder / "report.html").write_text(figure)
        Tracker(uri, "study").log_report(folder)
    assert statuses(uri) == {"analysis": "FINISHED"}
    [(location,)] = rows(uri, "SELECT artifact_uri FROM runs")
    files = {p.relative_to(location).as_posix() for p in Path(location).rglob("*") if p.is_file()}
    assert files == {"figures/new.pdf", "report.html"}
    assert (Path(location) / "report.html").read_text() == "new.pdf"
    with pytest.raises(FileNotFoundError, match="raystudy report"):
        Tracker(uri, "study").log_report(tmp_path / "nowhere")


def test_a_deleted_experiment_comes_back(uri: str) -> None:
    from mlflow import MlflowClient

    tracker = Tracker(uri, "study")
    tracker.start("k", "run")
    MlflowClient(uri).delete_experiment(tracker.experiment_id)
    Tracker(uri, "study").start("k", "run")
    assert statuses(uri) == {"k": "RUNNING"}


def test_a_run_is_started_before_it_is_logged(uri: str) -> None:
    with pytest.raises(KeyError, match=r"'unknown'; call Tracker\.start"):
        Tracker(uri, "study").log("unknown", [(0, {"loss": 1.0})])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_silent_server_is_named_at_once() -> None:
    port, started = free_port(), time.monotonic()
    with pytest.raises(ConnectionError, match=f"127.0.0.1:{port}: start it.*unset") as raised:
        Tracker(f"http://me:secret@127.0.0.1:{port}", "study")
    assert time.monotonic() - started < 30  # MLflow by itself tries for minutes
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("address", ["mlruns", "file:///tmp/mlruns"])
def test_a_folder_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"folder: .*mlruns; give sqlite:"):
        check(address)


def test_ui_serves_a_store_to_this_machine_only(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "10.1.2.3", "::"):
        with pytest.raises(ValueError, match=f"{host} is open to others"):
            ui(default_uri(tmp_path), host=host)
    with pytest.raises(ValueError, match="server already"):
        ui("http://127.0.0.1:5000")
    with pytest.raises(FileNotFoundError, match="run the study first"):
        ui(default_uri(tmp_path))


@pytest.fixture
def server(uri: str, tmp_path: Path) -> Iterator[str]:
    """``mlflow server`` that keeps the artifacts, in a process group of its own."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--artifacts-destination", str(tmp_path / "served")]
    yield from running(command, port)


@pytest.fixture
def page(uri: str, tmp_path: Path) -> Iterator[str]:
    """``ui`` over a study that has a report."""
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.html").write_text("<h1>a report</h1>")
    Tracker(uri, "study").log_report(tmp_path / "report")
    port = free_port()
    call = f"from raystudy.mlflow_ui import ui; ui({uri!r}, port={port})"
    yield from running([sys.executable, "-c", call], port)


def running(command: list[str], port: int) -> Iterator[str]:
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(command, start_new_session=True, env=environment)
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
    try:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                check(address)
                break
            except ConnectionError:
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    with pytest.raises(ConnectionError):
        check(address)


@pytest.mark.slow
def test_a_server_reads_back_the_same(
    server: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    for figure in ("old.csv", "new.csv"):
        (tmp_path / figure / "figures").mkdir(parents=True)
        (tmp_path / figure / "figures" / figure).write_text("x,y")
        tracker = Tracker(server, "study")
        tracker.start("b0", "run", axes={"seed": 0}, spec={"a": 1})
        tracker.log("b0", [(step, {"loss": 1.0}) for step in range(1200)])
        tracker.log("b0", [(1200, {"loss": math.inf})])
        tracker.finish("b0")
        tracker.log_cells(cells())
        tracker.log_report(tmp_path / figure)
    assert "View run" not in capfd.readouterr().out

    client = MlflowClient(server)
    experiment = client.get_experiment_by_name("study")
    assert experiment is not None
    found = {r.data.tags["raystudy.key"]: r for r in client.search_runs([experiment.experiment_id])}
    assert found.keys() == {"b0", "b0/digits/linear-probe/0", "analysis"}
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    history = client.get_metric_history(found["b0"].info.run_id, "loss")
    assert sorted(point.step for point in history) == list(range(1201))
    assert math.isnan(found["b0"].data.metrics["loss"])
    assert found["b0/digits/linear-probe/0"].data.metrics["digits/test/accuracy"] == 1.0
    artifacts = client.list_artifacts(found["analysis"].info.run_id, "figures")
    assert [file.path for file in artifacts] == ["figures/new.csv"]


@pytest.mark.slow
def test_the_page_shows_the_report(page: str, uri: str) -> None:
    [(run_id,)] = rows(uri, "SELECT run_uuid FROM runs")
    for path in ("/", f"/get-artifact?path=report.html&run_id={run_id}"):
        with urllib.request.urlopen(page + path, timeout=10) as answer:
            assert answer.status == 200
            body = answer.read().decode()
    assert body == "<h1>a report</h1>"


@pytest.mark.slow
def test_drivers_may_start_together(tmp_path: Path) -> None:
    call = "import sys; from raystudy.tracking import Tracker; Tracker(sys.argv[1], sys.argv[2])"
    uri = default_uri(tmp_path)
    drivers = [
        subprocess.Popen([sys.executable, "-c", call, uri, f"study-{i}"], stderr=subprocess.PIPE)
        for i in range(3)
    ]
    for driver in drivers:
        _, errors = driver.communicate(timeout=120)
        assert (driver.returncode, errors) == (0, b"")
    names = {name for (name,) in rows(uri, "SELECT name FROM experiments")}
    assert names == {"Default", "study-0", "study-1", "study-2"}
