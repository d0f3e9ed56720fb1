"""MLflow holds what the store holds, each point once, whatever became of its server meanwhile."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from raystudy import spool
from raystudy.run import run, sync
from raystudy.spec import Study
from raystudy.stages.site import InProcess
from raystudy.store import Store
from raystudy.tracking import default_uri

from .mlflow_server import MlflowServer, expected, held
from .mlflow_writers import NUM_METRICS, SHOTS

pytestmark = pytest.mark.slow

NUM_RUNS = 63
"""Of each of sixteen writers: a thousand in all."""


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


class Mistreats:
    """A watcher that kills the server in the first and the third of four trainings, and starts it
    again in the next: MLflow is told of a training at its end. And kills it once more when the
    study's end is told, for two seconds."""

    def __init__(self, server: MlflowServer) -> None:
        self.server, self.seen, self.total = server, 0.0, 1.0
        self.due = [(0.05, server.kill), (0.4, server.start), (0.7, server.kill)]
        self.due.append((0.9, server.start))
        self.num_kills = 0

    def begin(self, stage: str, total: int, unit: str) -> None:
        if stage == "pretrain":
            self.total = total
        if stage == "mlflow":
            self.server.kill()
            self.num_kills += 1
            threading.Timer(2.0, self.server.start).start()

    def advance(self, stage: str, amount: float = 1.0) -> None:
        if stage == "pretrain":
            self.seen += amount
            while self.due and self.seen >= self.due[0][0] * self.total:
                _, act = self.due.pop(0)
                act()
                self.num_kills += act == self.server.kill

    def error(self, what: str, message: str) -> None:
        raise AssertionError(f"{what}: {message}")

    def refresh(self) -> None: ...


class Once(Mistreats):
    """Kills it for good halfway through."""

    def __init__(self, server: MlflowServer) -> None:
        super().__init__(server)
        self.due = [(0.7, server.kill)]

    def begin(self, stage: str, total: int, unit: str) -> None:
        if stage == "pretrain":
            self.total = total


class Quiet:
    def begin(self, stage: str, total: int, unit: str) -> None: ...

    def advance(self, stage: str, amount: float = 1.0) -> None: ...

    def error(self, what: str, message: str) -> None: ...

    def refresh(self) -> None: ...


def test_a_server_that_is_killed_again_and_again(
    study: Study,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(spool, "PAUSES_S", (0.2, 0.5))
    monkeypatch.setattr("raystudy.run.PATIENCE_S", 600.0)  # a busy machine starts it slowly
    with MlflowServer(tmp_path) as server:
        watcher = Mistreats(server)
        outcome = run(study, store, lambda: nullcontext(InProcess(store)), watcher, server.uri)
        assert watcher.num_kills == 3
        assert outcome.is_mirrored
        assert caplog.text.count("MLflow answers again") == 3
        points, statuses = held(server.uri, study.name)
    assert points == expected(study, store)
    assert len(points) > 300
    assert set(statuses.values()) == {"FINISHED"}
    assert "analysis" in statuses


def test_a_study_ends_without_its_server_and_is_told_later(
    study: Study, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raystudy.run.PATIENCE_S", 1.0)
    with MlflowServer(tmp_path) as server:
        watcher = Once(server)
        outcome = run(study, store, lambda: nullcontext(InProcess(store)), watcher, server.uri)
        assert not outcome.is_mirrored
        assert not outcome.failures
        assert outcome.report
        assert Path(outcome.report).exists()
        server.start()
        before, _ = held(server.uri, study.name)
        assert len(before) < len(expected(study, store))
        for _ in range(2):  # again, it changes nothing
            assert sync(study, store, server.uri) == (len(study.cells()), len(study.cells()))
            points, statuses = held(server.uri, study.name)
            assert points == expected(study, store)
            assert set(statuses.values()) == {"FINISHED"}
            assert "analysis" in statuses


def test_a_local_study_is_pushed_to_a_server(
    study: Study, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = default_uri(Path(store.root))
    assert run(study, store, lambda: nullcontext(InProcess(store)), Quiet(), local).is_mirrored
    with MlflowServer(tmp_path) as server:
        sync(study, store, server.uri)
        points, statuses = held(server.uri, study.name)
        assert points == expected(study, store) == held(local, study.name)[0]
        assert set(statuses.values()) == {"FINISHED"}
        arguments = ["mlflow", "sync", "tests/experiments/small.py", "--store", str(tmp_path / "x")]
        done = subprocess.run(
            [sys.executable, "-m", "raystudy.cli", *arguments, "--tracking-uri", server.uri],
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert f"{server.uri} holds 0 of " in done.stdout


@pytest.fixture
def postgresql() -> Iterator[str]:
    """A database of its own, reached by a socket; trusted, as it lasts for a test."""
    pytest.importorskip("psycopg2", reason="the driver of PostgreSQL is not installed")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [Path("/usr/bin")]
    initdb = shutil.which("initdb", path=f"{found[-1]}{os.pathsep}{os.environ['PATH']}")
    if not initdb:
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # a socket needs a short path
    user: list[str] = []
    if os.geteuid() == 0:  # which PostgreSQL refuses to run as
        shutil.chown(folder, "postgres")
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    data = folder / "data"
    subprocess.run(
        [*user, initdb, "-D", str(data), "-U", "raystudy", "--auth=trust", "--no-sync"],
        check=True,
        capture_output=True,
        cwd=folder,
    )
    settings = ["-c", "listen_addresses=", "-c", "fsync=off", "-k", str(folder)]
    server = subprocess.Popen(
        [*user, str(Path(initdb).with_name("postgres")), "-D", str(data), *settings],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not (folder / ".s.PGSQL.5432").exists():
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield f"postgresql+psycopg2://raystudy@/postgres?host={folder}"
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.faults
def test_sixteen_writers(postgresql: str, tmp_path: Path) -> None:
    """A thousand runs of a hundred metrics; the server is lost once while they write."""
    import sqlalchemy

    with MlflowServer(tmp_path, postgresql, workers=2) as server:
        script = str(Path(__file__).with_name("mlflow_writers.py"))
        writers = [
            subprocess.Popen([sys.executable, script, server.uri, str(first), str(NUM_RUNS)])
            for first in range(0, 16, 4)
        ]
        engine = sqlalchemy.create_engine(postgresql)
        try:
            until(engine, "SELECT count(*) FROM metrics", at_least=20_000)
            server.kill()
            server.start()
            assert [writer.wait(500) for writer in writers] == [0] * 4
        finally:
            for writer in writers:
                writer.kill()
        with engine.connect() as connection:

            def all_of(query: str) -> list[tuple]:
                return [tuple(row) for row in connection.execute(sqlalchemy.text(query))]

            assert all_of("SELECT status, count(*) FROM runs GROUP BY status") == [
                ("FINISHED", 16 * NUM_RUNS)
            ]
            distinct = "SELECT DISTINCT run_uuid, key, step, value FROM metrics"
            num_points = 16 * NUM_RUNS * NUM_METRICS * len(SHOTS)
            for table in ("metrics", f"({distinct}) AS points"):
                assert all_of(f"SELECT count(*) FROM {table}") == [(num_points,)]
            ((num_keys,),) = all_of(
                "SELECT count(DISTINCT (value || ' ' || experiment_id)) FROM tags JOIN runs "
                "ON tags.run_uuid = runs.run_uuid WHERE key = 'raystudy.key'"
            )
            assert num_keys == 16 * NUM_RUNS, "one run a key"
        engine.dispose()


def until(engine: Any, query: str, at_least: int) -> None:
    import sqlalchemy

    deadline = time.monotonic() + 300
    while True:
        with engine.connect() as connection:
            if connection.execute(sqlalchemy.text(query)).scalar() >= at_least:
                return
        assert time.monotonic() < deadline
        time.sleep(0.5)
