"""An MLflow server that can be killed and started again, and what a study should have told it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from raystudy.ledger import Ledger
from raystudy.spec import Study
from raystudy.store import Store
from raystudy.tracking import check

Points = list[tuple[str, str, int, float]]
"""(key of the run, metric, step, value)."""


class MlflowServer:
    """``mlflow server`` on loopback; its database and files lie in ``folder``, or where ``backend``
    says."""

    def __init__(self, folder: Path, backend: str | None = None, workers: int = 1) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._log = folder / "mlflow-server.log"
        self._command = [sys.executable, "-m", "mlflow", "server", "--port", str(self.port)]
        self._command += ["--backend-store-uri", backend or f"sqlite:///{folder}/server.db"]
        self._command += ["--artifacts-destination", str(folder / "served")]
        self._command += ["--workers", str(workers)]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        deadline = time.monotonic() + 300
        while True:
            try:
                return check(self.uri)
            except ConnectionError:
                assert self._process.poll() is None, self._log.read_text()[-3000:]
                assert time.monotonic() < deadline, self._log.read_text()[-3000:]
                time.sleep(0.2)

    def kill(self) -> None:
        """As if its machine had gone."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def expected(study: Study, store: Store) -> Points:
    """All that ``store`` holds of ``study``."""
    keys = {cell.backbone.key for cell in study.cells()} & store.done_keys("pretrainings")
    points: Points = []
    for key in keys:
        curve = json.loads(store.read("pretrainings", key, "curve.json") or b"")
        points += [(key, name, step, v) for step, values in curve for name, v in values.items()]
    records = Ledger(store).read((cell.key for cell in study.cells()), study.metrics)
    for row in records.drop_nulls("value").to_dicts():
        key = "{backbone}/{task}/{adaptation}/{seed}".format_map(row)
        name = "{task}/{split}/{metric}".format_map(row)
        points.append((key, name, row["num_train"], row["value"]))
    return sorted(points)


def held(uri: str, study_name: str) -> tuple[Points, dict[str, str]]:
    """All points that a server holds of a study, as it tells them, and the status of each run."""
    runs = runs_of(uri, study_name)
    keys = [run.data.tags["raystudy.key"] for run in runs]
    assert len(keys) == len(set(keys)), "one run a key"
    client = _client(uri)
    points = [
        (run.data.tags["raystudy.key"], metric.key, metric.step, metric.value)
        for run in runs
        for name in run.data.metrics
        for metric in client.get_metric_history(run.info.run_id, name)
    ]
    return sorted(points), {run.data.tags["raystudy.key"]: run.info.status for run in runs}


def runs_of(uri: str, study_name: str) -> list[Any]:
    client = _client(uri)
    experiment = client.get_experiment_by_name(study_name)
    assert experiment
    runs = client.search_runs([experiment.experiment_id], max_results=5000)
    return [run for run in runs if "raystudy.key" in run.data.tags]


def _client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri)
