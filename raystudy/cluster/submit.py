"""A study as a job of a Ray cluster: submitted, followed to its end, found again, cancelled.

A thin front of Ray's job server. What is done stands in the store, so a job that died is simply
submitted again: the new one does what is missing.
"""

import asyncio
import logging
import os
import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp
from ray.job_submission import JobStatus, JobSubmissionClient

log = logging.getLogger(__name__)

STUDY = "raystudy.study"
"""Of a job's metadata: what it runs."""
EXCLUDED = (
    *(".git", ".venv", "venv", "runs", "raystudy-reports", "mlruns", "dist", "build"),
    *("**/__pycache__", "**/*.egg-info", ".pytest_cache", ".ruff_cache", ".hypothesis", ".idea"),
    *("**/*.tar", "**/*.parquet", "**/*.safetensors", "**/*.pt", "**/.env", "**/*.pem"),
)
"""Of the folder that travels, beside what .gitignore names: results, data, weights and secrets."""
GENTLY = {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": "60"}
"""Interrupted, a driver closes its MLflow runs as killed; Ray would give it three seconds."""
ADDRESS = "RAY_API_SERVER_ADDRESS"
RETRY_S = 3.0
GIVE_UP_S = 600.0
"""Without an answer from the cluster, a tunnel that was opened again included."""
START_S = 300.0
"""A head that has just started takes requests before it takes jobs."""
TALKATIVE = (
    "ray._private.runtime_env.packaging",
    "ray._private.runtime_env.working_dir",
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
)
"""Loggers that name every file that stays behind, at a level of their own."""
STOPPED = 130
"""The exit code of what was cancelled, as a shell has it."""


@dataclass(frozen=True)
class Job:
    """What is submitted."""

    study: str
    command: Sequence[str]
    working_dir: Path
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def entrypoint(self) -> str:
        return shlex.join(self.command)

    @property
    def runtime_env(self) -> dict[str, Any]:
        return {
            "working_dir": str(self.working_dir),
            "excludes": list(EXCLUDED),
            "env_vars": GENTLY | dict(self.env),
        }


class Client(Protocol):
    """The part of Ray's ``JobSubmissionClient`` that is used."""

    def submit_job(
        self,
        *,
        entrypoint: str,
        submission_id: str | None,
        runtime_env: dict[str, Any] | None,
        metadata: dict[str, str] | None,
    ) -> str: ...

    def list_jobs(self) -> list[Any]: ...

    def get_job_info(self, job_id: str) -> Any: ...

    def stop_job(self, job_id: str) -> bool: ...

    def tail_job_logs(self, job_id: str) -> Any: ...


class BusyError(RuntimeError):
    """The study is running already, with other options."""


def connect(address: str) -> JobSubmissionClient:
    """Raises ConnectionError if no job server answers at ``address`` (http://host:port)."""
    if urlsplit(address).scheme not in ("http", "https"):
        raise ConnectionError(
            f"--address {address}: jobs go to a cluster's dashboard; give http://127.0.0.1:8265 "
            "and open a tunnel to it with: ray dashboard cluster.yaml"
        )
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
    # Ray lets the environment, which may name a cluster of this machine, override the argument.
    before = os.environ.get(ADDRESS)
    os.environ[ADDRESS] = address
    try:
        return JobSubmissionClient(address)
    except (ConnectionError, RuntimeError) as error:
        reason = next(iter(str(error).splitlines()), "")
        raise ConnectionError(
            f"no Ray cluster answers at {address}: start it (ray up cluster.yaml) and open a "
            f"tunnel (ray dashboard cluster.yaml) ({reason})"
        ) from error
    finally:
        del os.environ[ADDRESS]
        if before is not None:
            os.environ[ADDRESS] = before


def submit(client: Client, job: Job) -> tuple[str, bool]:
    """The id of the job, and whether it is new: one that runs already is not started twice.

    Raises BusyError if the study runs with another command, ValueError if Ray refuses the folder.
    """
    alike = [j for j in client.list_jobs() if (j.metadata or {}).get(STUDY) == job.study]
    for other in alike:
        if not JobStatus(other.status).is_terminal():
            if other.entrypoint != job.entrypoint:
                raise BusyError(
                    f"study '{job.study}' is running as {other.submission_id} with another command "
                    f"({other.entrypoint}); wait for it, or end it with: raystudy cancel "
                    f"{other.submission_id}"
                )
            return other.submission_id, False
    taken = {j.submission_id for j in alike}
    name = re.sub(r"[^\w-]+", "-", job.study)
    number = next(n for n in range(1, len(taken) + 2) if f"{name}-{n}" not in taken)
    return _submit(client, job, f"{name}-{number}"), True


def follow(client: Client, job_id: str, write: Callable[[str], object]) -> int:
    """Pass on what the job prints until it ends; its exit code.

    A connection that breaks is opened again, and goes on where it was. Raises ConnectionError once
    nobody has answered for ``GIVE_UP_S``, or if the cluster no longer knows the job.
    """
    lost_at, pass_on = None, _Once(write)
    while True:
        try:
            asyncio.run(_tail(client, job_id, pass_on))
            info = client.get_job_info(job_id)
            lost_at = None
            if JobStatus(info.status).is_terminal():
                return exit_code(info)
        except (RuntimeError, OSError, aiohttp.ClientError) as error:  # requests' are OSErrors
            if is_unknown(error):
                raise ConnectionError(
                    f"the cluster knows no job {job_id}: its head has been started anew; submit "
                    "the study again, it does what is missing"
                ) from error
            if lost_at is None:
                lost_at = time.monotonic()
                log.warning("the cluster does not answer; trying again (the job goes on)")
            elif time.monotonic() - lost_at > GIVE_UP_S:
                raise ConnectionError(
                    f"the cluster has not answered for {GIVE_UP_S / 60:.0f} minutes; job {job_id} "
                    "may go on: open the tunnel and submit again to follow it"
                ) from error
        time.sleep(RETRY_S)


def is_unknown(error: Exception) -> bool:
    """Whether it says that there is no such job: in words, or when a log is asked for by a code."""
    refused = isinstance(error, aiohttp.ClientResponseError) and error.status == 404
    return refused or "does not exist" in str(error)


def exit_code(info: Any) -> int:
    """Of the driver, or one that is true of how it ended."""
    status = JobStatus(info.status)
    if status == JobStatus.SUCCEEDED:
        return 0
    if status == JobStatus.STOPPED:
        return STOPPED
    return info.driver_exit_code or 1


def jobs(client: Client) -> list[Any]:
    """Of studies, the newest first."""
    ours = [job for job in client.list_jobs() if STUDY in (job.metadata or {})]
    return sorted(ours, key=lambda job: -(job.start_time or 0))


def cancel(client: Client, which: str) -> str:
    """End the job of that id, or whatever runs of the study of that name; returns its id. Raises
    ValueError if nothing of it runs."""
    for job in jobs(client):
        named = which in (job.submission_id, job.metadata[STUDY])
        if named and not JobStatus(job.status).is_terminal():
            client.stop_job(job.submission_id)
            return job.submission_id
    raise ValueError(f"nothing runs by the name of {which}; see: raystudy jobs")


def _submit(client: Client, job: Job, job_id: str) -> str:
    started = time.monotonic()
    while True:
        try:
            return client.submit_job(
                entrypoint=job.entrypoint,
                submission_id=job_id,
                runtime_env=job.runtime_env,
                metadata={STUDY: job.study},
            )
        except (RuntimeError, ValueError, OSError) as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            is_starting = isinstance(error, OSError) or "No available agent" in reason
            if not is_starting:
                way_out = "; large files do not belong there: .gitignore keeps them here"
                raise ValueError(
                    f"the cluster did not take {job.working_dir} as a job: {reason}"
                    + (way_out if "exceeds" in reason else "")
                ) from error
            if time.monotonic() - started > START_S:
                raise ConnectionError(
                    f"the cluster takes no jobs ({reason}); see its head's /tmp/ray/session_latest/"
                    "logs/dashboard.log, or start it anew: ray up cluster.yaml"
                ) from error
        time.sleep(RETRY_S)


class _Once:
    """Ray tells a job's log from its beginning at every connection; nothing is written twice."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._shown = self._seen = 0

    def begin(self) -> None:
        self._seen = 0

    def __call__(self, text: str) -> None:
        if new := text[max(0, self._shown - self._seen) :]:
            self._write(new)
        self._seen += len(text)
        self._shown = max(self._shown, self._seen)


async def _tail(client: Client, job_id: str, pass_on: _Once) -> None:
    pass_on.begin()
    async for text in client.tail_job_logs(job_id):
        pass_on(text)
