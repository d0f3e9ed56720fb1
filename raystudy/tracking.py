"""MLflow as a mirror of a study: one experiment, one run for each thing that has a key.

The ledger stays the truth. An experiment is a study; its runs are found again by their tag
``raystudy.key``, so a study that is interrupted and continued goes on in the runs it began:

* ``pretraining``: the curves of one backbone, its spec as parameters and as ``spec.json``;
* ``downstream``: one backbone × task × adaptation × seed, nested under its pre-training, with
  metrics ``task/split/metric`` whose step is the number of labelled training examples
  (shots × classes; 0 for zero-shot). That number exists for "full" and for unbalanced classes too;
* ``analysis``: figures, tables and the report.

This is the only module that imports mlflow, and it does so on first use: the import takes seconds.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from filelock import FileLock

from raystudy.key import digest
from raystudy.public import public

if TYPE_CHECKING:
    import polars as pl
    from mlflow.entities import Metric, RunData
    from mlflow.entities import Run as MlflowRun

logger = logging.getLogger(__name__)

Status = Literal["FINISHED", "FAILED", "KILLED"]

KEY = "raystudy.key"
RECORDS = "raystudy.records"
ERROR = "raystudy.error"
INTERRUPTED = "raystudy.interrupted"
DOWNSTREAM = ["backbone", "task", "adaptation", "seed"]
AXES = ["method", "source", "size", "noise", "noise_rate", "realised_noise", "architecture"]
NAME = "{adaptation} on {task} · {method} {source} {size} {noise} · seed {seed}"

EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""Opens MLflow's page as one of training runs and their metrics, not of an assistant's traces."""

FULL_STEP = 10_000_000
"""Of a cell on full data of which nobody says how many examples that is."""
SEARCH_PAGE = 1000
METRICS_PER_BATCH = 900  # of the 1,000 entities MLflow takes at once; the rest is for tags
VALUE_LENGTH = 6000
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # Whoever calls tries again (``raystudy.spool``). MLflow would for minutes, while the study
    # waits, and would make a run twice whose first answer was lost.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
}


def default_uri(store_folder: Path) -> str:
    """``MLFLOW_TRACKING_URI`` if it is set, else one sqlite file in the store, at a path that holds
    in any working directory."""
    file = Path(store_folder).resolve() / "mlflow.db"
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{file}"


def default_artifact_root(uri: str) -> str | None:
    """``mlartifacts`` beside a sqlite file; None where the server decides."""
    file = sqlite_file(uri)
    return str(file.parent / "mlartifacts") if file else None


@dataclass
class _Run:
    run_id: str
    status: str
    records: str | None = None
    """The digest of the points that the last ``log_cells`` found or put there."""
    last_steps: dict[str, int] = field(default_factory=dict)
    is_doubtful: bool = False
    """A call failed, which the server may have heard all the same."""


class Tracker:
    """The runs of one study. For one driver at a time: the caller holds the study's lock.

    Any call that failed may be made again: what the server heard is not told twice.
    """

    def __init__(self, uri: str, study_name: str, artifact_root: str | None = None) -> None:
        """Find or make the experiment and load its runs; ``artifact_root`` is for new experiments.

        Raises ConnectionError if a server does not answer, ValueError if MLflow cannot use ``uri``.
        """
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        artifact_root = artifact_root or default_artifact_root(uri)
        check(uri)
        _create_database(uri, artifact_root)
        from mlflow import MlflowClient

        self.uri = uri
        self._client = MlflowClient(uri, registry_uri=uri)
        self.experiment_id = self._experiment(study_name, artifact_root)
        self._runs = {run.data.tags[KEY]: _known(run) for run in self._search()}
        self._begun: set[str] = set()
        """Keys whose runs were asked for; without an answer, they may be there or not."""

    def start(
        self,
        key: str,
        name: str,
        kind: str = "pretraining",
        axes: Mapping[str, Any] | None = None,
        spec: Mapping[str, Any] | None = None,
    ) -> None:
        """Begin the run of ``key``, or continue it if it exists, whatever became of it before.

        ``axes`` become tags, beside ``stage`` = ``kind``. ``spec`` is a canonical form
        (``Spec.describe``): parameters ``a.b.c``, and the artifact ``spec.json``.
        """
        from mlflow.entities import Param

        run = self._run(key) or self._create(key, name, kind, axes or {})
        self._client.update_run(run.run_id, status="RUNNING")
        run.status = "RUNNING"
        stored = self._client.get_run(run.run_id).data
        run.last_steps = _last_steps(stored)
        if ERROR in stored.tags:
            self._client.delete_tag(run.run_id, ERROR)
        params = {
            _allowed(path)[:250]: value[:VALUE_LENGTH] for path, value in _flatten(spec or {})
        }
        missing = [Param(name, text) for name, text in params.items() if name not in stored.params]
        self._client.log_batch(run.run_id, params=missing)
        if spec:
            self._client.log_dict(run.run_id, dict(spec), "spec.json")

    def log(self, key: str, points: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Add (step, values) in ascending steps. What MLflow holds already is left out: a resumed
        pre-training replays the steps after its last checkpoint. Infinities become NaN, since SQL
        would keep them as 1.8e308 and no chart survives that. Raises KeyError before ``start``.
        """
        run = self._started(key)
        if run.is_doubtful:
            run.last_steps = _last_steps(self._client.get_run(run.run_id).data)
        last_steps, metrics = dict(run.last_steps), []
        for step, values in points:
            for metric in (_metric(name, value, step) for name, value in values.items()):
                if step > last_steps.get(metric.key, -1):
                    last_steps[metric.key] = step
                    metrics.append(metric)
        run.is_doubtful = True
        for batch in _batches(metrics):
            self._client.log_batch(run.run_id, batch)
            run.last_steps |= {metric.key: metric.step for metric in batch}
        run.is_doubtful = False

    def finish(self, key: str, status: Status = "FINISHED", error: str | None = None) -> None:
        """End a run. Raises KeyError before ``start``."""
        run = self._started(key)
        if error:
            self._client.set_tag(run.run_id, ERROR, error[:VALUE_LENGTH])
        self._end(run, status)

    def status(self, key: str) -> str | None:
        """RUNNING, FINISHED, FAILED or KILLED; None if there is no run of ``key``."""
        run = self._runs.get(key)
        return run.status if run else None

    def end_all(self, status: Status) -> None:
        """End what is still running: the driver is leaving."""
        for run in self._runs.values():
            if run.status == "RUNNING":
                self._end(run, status)

    def log_cells(self, records: pl.DataFrame) -> None:
        """Mirror records of ``ledger.SCHEMA``, all or some of them, as often as you like: only
        points that MLflow lacks are sent, and a run that holds exactly these is not asked again.
        """
        for labels, frame in records.drop_nulls("value").group_by(DOWNSTREAM, maintain_order=True):
            self._log_rows("/".join(map(str, labels)), frame.to_dicts())

    def log_report(self, folder: Path) -> None:
        """Make ``folder`` the artifacts of the analysis run, in place of those it had."""
        from mlflow.exceptions import MlflowException
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        if not folder.is_dir():
            raise FileNotFoundError(f"no report in {folder}; write one with `raystudy report`")
        self.start("analysis", "analysis", kind="analysis")
        run_id = self._runs["analysis"].run_id
        location = self._client.get_run(run_id).info.artifact_uri
        try:
            get_artifact_repository(str(location), tracking_uri=self.uri).delete_artifacts()
        except (NotImplementedError, MlflowException) as reason:
            logger.warning("MLflow keeps figures of earlier reports beside the new: %s", reason)
        self._client.log_artifacts(run_id, str(folder))
        self.finish("analysis")

    def reconcile(self) -> int:
        """Set runs that no driver can be working on (the caller holds the lock) from RUNNING to
        KILLED, as of their last metric. Returns their number."""
        orphans = [run for run in self._runs.values() if run.status in ("RUNNING", "SCHEDULED")]
        found = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        for run in orphans:
            stored = self._client.get_run(run.run_id)
            times = [m.timestamp for m in stored.data.to_proto().metrics]
            self._client.set_tag(run.run_id, INTERRUPTED, f"its driver was gone on {found}")
            self._end(run, "KILLED", max(times, default=stored.info.start_time))
        return len(orphans)

    def _log_rows(self, key: str, rows: list[dict[str, Any]]) -> None:
        from mlflow.entities import Param, RunTag

        points = {}
        for row in rows:
            metric = _metric("{task}/{split}/{metric}".format_map(row), row["value"], _step(row))
            points[metric.key, metric.step] = metric
        contents, run, params = digest(sorted(points)), self._run(key), []
        if run and run.records == contents and run.status == "FINISHED":
            return
        if run:
            for name in {name for name, _ in points}:
                for metric in self._client.get_metric_history(run.run_id, name):
                    points.pop((name, metric.step), None)
        if run is None or run.records is None:
            axes = {name: rows[0][name] for name in DOWNSTREAM + AXES if rows[0][name] is not None}
            params = [Param(name, str(value)) for name, value in axes.items()]
            run = run or self._create(key, NAME.format_map(rows[0]), "downstream", axes, rows)
        *batches, last = [*_batches([*points.values()])] or [[]]
        for batch in batches:
            self._client.log_batch(run.run_id, batch)
        self._client.log_batch(run.run_id, last, params, [RunTag(RECORDS, contents)])
        run.records = contents
        if run.status != "FINISHED":
            self._end(run, "FINISHED")

    def _create(
        self, key: str, name: str, stage: str, axes: Mapping[str, Any], rows: Sequence[Any] = ()
    ) -> _Run:
        """A new run; one of downstream ``rows`` lasts as long as its cells took."""
        tags = {axis: str(value)[:VALUE_LENGTH] for axis, value in axes.items()}
        tags |= {KEY: key, "stage": stage}
        if parent := self._runs.get(axes.get("backbone", "")):
            tags["mlflow.parentRunId"] = parent.run_id
        self._begun.add(key)
        seconds = sum({row["cell"]: row["seconds"] or 0.0 for row in rows}.values())
        started = _now() - int(1000 * seconds)
        run = _known(self._client.create_run(self.experiment_id, started, tags, name))
        self._runs[key] = run
        return run

    def _run(self, key: str) -> _Run | None:
        """The run of ``key``; one whose making was never answered is looked for."""
        if key in self._begun and key not in self._runs:
            for run in self._search():  # MLflow's filters cannot quote every key
                if run.data.tags[KEY] == key:
                    self._runs[key] = _known(run)
        return self._runs.get(key)

    def _started(self, key: str) -> _Run:
        if key not in self._runs:
            raise KeyError(f"no MLflow run has the key {key!r}; call Tracker.start first")
        return self._runs[key]

    def _end(self, run: _Run, status: Status, end_time: int | None = None) -> None:
        self._client.set_terminated(run.run_id, status, end_time)
        run.status = status

    def _experiment(self, name: str, artifact_root: str | None) -> str:
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            location = f"{artifact_root}/{name}" if artifact_root else None
            return self._make_experiment(name, location)
        if experiment.lifecycle_stage == "deleted":
            logger.warning("the MLflow experiment '%s' had been deleted; it is restored", name)
            self._client.restore_experiment(experiment.experiment_id)
        return experiment.experiment_id

    def _make_experiment(self, name: str, location: str | None) -> str:
        from mlflow.exceptions import MlflowException

        try:
            return self._client.create_experiment(name, location, EXPERIMENT_TAGS)
        except MlflowException:
            made = self._client.get_experiment_by_name(name)
            if made is None:
                raise
            return made.experiment_id  # by another driver, a moment ago

    def _search(self) -> Iterator[MlflowRun]:
        token: str | None = ""
        while token is not None:
            page = self._client.search_runs(
                [self.experiment_id], max_results=SEARCH_PAGE, page_token=token or None
            )
            yield from (run for run in page if KEY in run.data.tags)
            token = page.token or None


def check(uri: str) -> None:
    """Raise ConnectionError within ten seconds if no server answers at ``uri``, ValueError if it
    names a folder (MLflow's file store is gone since 3.13)."""
    scheme = urlsplit(uri).scheme
    way_out = "or unset MLFLOW_TRACKING_URI to keep runs in the study's store"
    if scheme in ("", "file"):
        raise ValueError(
            f"MLflow no longer keeps runs in a folder: {public(uri)}; "
            f"give sqlite:////path/to/mlflow.db or http://host:port, {way_out}"
        )
    if scheme not in ("http", "https"):
        return
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request_safe

    query, path = {"max_results": 1}, "/api/2.0/mlflow/experiments/search"
    try:
        http_request_safe(
            get_default_host_creds(uri), path, "GET", params=query, max_retries=0, timeout=10
        )
    except MlflowException as error:
        reason = str(error).splitlines()[0][-200:]
        raise ConnectionError(
            f"no MLflow server answers at {public(uri)}: start it, correct its address, {way_out} "
            f"({public(reason)})"
        ) from error


def _create_database(uri: str, artifact_root: str | None) -> None:
    """Make a new sqlite file under a lock, and under another name until it is migrated: a driver
    killed halfway, or two that start together, would leave tables that MLflow cannot mend."""
    file = sqlite_file(uri)
    if file is None or file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    with FileLock(f"{part}.lock"):
        if file.exists():
            return
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        for name in ("mlflow.store.db", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        part.unlink(missing_ok=True)
        part.with_name(f"{part.name}-journal").unlink(missing_ok=True)
        SqlAlchemyStore(f"sqlite:///{part}", artifact_root).engine.dispose()
        part.rename(file)


def sqlite_file(uri: str) -> Path | None:
    """The file of a ``sqlite:///`` URI; None for any other."""
    name, is_sqlite, path = uri.partition("sqlite:///")
    return Path(path.partition("?")[0]).resolve() if is_sqlite and not name and path else None


def _last_steps(data: RunData) -> dict[str, int]:
    return {metric.key: metric.step for metric in data.to_proto().metrics}


def _known(run: MlflowRun) -> _Run:
    return _Run(run.info.run_id, run.info.status, run.data.tags.get(RECORDS))


def _step(row: Mapping[str, Any]) -> int:
    """The training examples, or the shots where those are not known."""
    if row["num_train"] is not None:
        return row["num_train"]
    return FULL_STEP if row["shots"] == "full" else int(row["shots"])


def _metric(name: str, value: float, step: int) -> Metric:
    from mlflow.entities import Metric

    finite = float(value) if math.isfinite(value) else math.nan
    return Metric(_allowed(name), finite, _now(), step)


def _allowed(text: str) -> str:
    """``text`` in the characters that MLflow allows for metrics and parameters."""
    allowed = re.sub(r"[^\w./ -]", "_", text)
    return "/".join("_" if part in ("", ".", "..") else part for part in allowed.split("/"))


def _batches(metrics: list[Metric]) -> Iterator[list[Metric]]:
    for first in range(0, len(metrics), METRICS_PER_BATCH):
        yield metrics[first : first + METRICS_PER_BATCH]


def _flatten(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """A canonical form as (path, text): a spec's path holds its class, its fields lie below."""
    match value:
        case {"class": name, "version": version, **rest}:
            yield path or "class", name
            yield f"{path}.version".lstrip("."), str(version)
            yield from _flatten(rest.get("fields", {}), path)
        case Mapping():
            for name, inner in value.items():
                yield from _flatten(inner, f"{path}.{name}".lstrip("."))
        case str():
            yield path, value
        case _:
            yield path, json.dumps(value)


def _now() -> int:
    return time.time_ns() // 1_000_000
