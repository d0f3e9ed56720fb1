"""Studies as jobs: what the job server is asked, and what is made of its answers."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest

from raystudy.cluster import submit as room
from raystudy.cluster.submit import STUDY, BusyError, Job, cancel, follow, jobs, submit

ROOT = Path(__file__).parents[2]
RAYSTUDY = str(Path(sys.executable).parent / "raystudy")
COMMAND = ("python", "-m", "raystudy.cli", "run", "a study.py", "--seeds", "2")


def info(name: str, status: str, **more: Any) -> Any:
    known = {"entrypoint": Job("", COMMAND, Path()).entrypoint, "metadata": {STUDY: "mine"}}
    known |= {"start_time": 1, "driver_exit_code": None}
    return SimpleNamespace(submission_id=name, status=status, **(known | more))


class Server:
    """A job server that is made up: ``logs`` are what following yields, one list a connection; an
    exception in it breaks that connection."""

    def __init__(self, *known: Any, logs: list[list[Any]] | None = None, ends: str = "") -> None:
        self.known, self.logs, self.ends = list(known), logs or [], ends
        self.submitted: list[dict[str, Any]] = []
        self.stopped: list[str] = []

    def submit_job(self, **arguments: Any) -> str:
        self.submitted.append(arguments)
        return arguments["submission_id"]

    def list_jobs(self) -> list[Any]:
        return self.known

    def get_job_info(self, job_id: str) -> Any:
        if not self.logs and self.ends:
            self.known[0].status = self.ends
        return next(job for job in self.known if job.submission_id == job_id)

    def stop_job(self, job_id: str) -> bool:
        self.stopped.append(job_id)
        return True

    async def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
        for text in self.logs.pop(0):
            if isinstance(text, Exception):
                raise text
            yield text


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "RETRY_S", 0)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job("mine", COMMAND, tmp_path, {"RAYSTUDY_STORE": "s3://b/x"})


def test_what_is_submitted(job: Job) -> None:
    server = Server()
    assert submit(server, job) == ("mine-1", True)
    (asked,) = server.submitted
    assert asked["entrypoint"] == "python -m raystudy.cli run 'a study.py' --seeds 2"
    assert asked["metadata"] == {STUDY: "mine"}
    env = asked["runtime_env"]
    assert env["working_dir"] == str(job.working_dir)
    assert {".git", ".venv", "runs", "**/.env", "**/*.pem"} <= set(env["excludes"])
    assert env["env_vars"]["RAYSTUDY_STORE"] == "s3://b/x"
    assert env["env_vars"]["RAY_JOB_STOP_SIGNAL"] == "SIGINT"


def test_one_that_runs_is_not_started_twice(job: Job) -> None:
    server = Server(info("mine-1", "FAILED"), info("mine-2", "RUNNING"))
    assert submit(server, job) == ("mine-2", False)
    assert not server.submitted


def test_one_that_ended_is_started_again(job: Job) -> None:
    """It does what is missing; ids are never used twice."""
    server = Server(info("mine-1", "FAILED"), info("mine-2", "STOPPED"))
    assert submit(server, job) == ("mine-3", True)


def test_another_command_for_the_same_study(job: Job) -> None:
    server = Server(info("mine-1", "RUNNING", entrypoint="python -m raystudy.cli run b.py"))
    with pytest.raises(BusyError, match=r"running as mine-1 .* raystudy cancel mine-1"):
        submit(server, job)
    assert not server.submitted


def test_others_do_not_matter(job: Job) -> None:
    others = [info("x", "RUNNING", metadata={}), info("y", "RUNNING", metadata={STUDY: "yours"})]
    assert submit(Server(*others), job) == ("mine-1", True)


def test_a_folder_that_is_too_large(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    error = RuntimeError("Size of the zip exceeds the limit of 512MiB\nmore")
    monkeypatch.setattr(server, "submit_job", lambda **_: (_ for _ in ()).throw(error))
    with pytest.raises(ValueError, match=r"exceeds the limit of 512MiB; large files .*gitignore"):
        submit(server, job)


def test_a_head_that_does_not_take_jobs_yet(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    starting = [
        OSError("Connection aborted"),
        RuntimeError("500: No available agent to submit job"),
    ]
    server, answers = Server(), [*starting, "mine-1"]

    def submit_job(**_: Any) -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(server, "submit_job", submit_job)
    assert submit(server, job) == ("mine-1", True)
    assert not answers
    answers += starting
    monkeypatch.setattr(room, "START_S", -1)
    with pytest.raises(ConnectionError, match="takes no jobs"):
        submit(server, job)


@pytest.mark.parametrize(
    ("status", "driver", "code"),
    [
        ("SUCCEEDED", 0, 0),
        ("FAILED", 3, 3),
        ("FAILED", None, 1),  # the head lost its driver
        ("FAILED", 0, 1),
        ("STOPPED", -2, 130),
    ],
)
def test_exit_codes_are_true(status: str, driver: int | None, code: int) -> None:
    server = Server(info("mine-1", status, driver_exit_code=driver), logs=[["one\n"]])
    assert follow(server, "mine-1", lambda text: None) == code


def written() -> tuple[list[str], Callable[[str], None]]:
    texts: list[str] = []
    return texts, texts.append


def test_a_broken_connection_goes_on_where_it_was(caplog: pytest.LogCaptureFixture) -> None:
    """The server tells a log from its beginning, in pieces that need not be the same."""
    broken: list[Any] = ["one\ntw", RuntimeError("closed unexpectedly")]
    server = Server(
        info("mine-1", "RUNNING"), logs=[broken, ["one\n", "two\n", "three\n"]], ends="SUCCEEDED"
    )
    texts, write = written()
    assert follow(server, "mine-1", write) == 0
    assert "".join(texts) == "one\ntwo\nthree\n"
    assert "the job goes on" in caplog.text


def test_a_log_that_ends_before_its_job() -> None:
    server = Server(info("mine-1", "RUNNING"), logs=[["a"], ["a", "b"]], ends="SUCCEEDED")
    texts, write = written()
    assert follow(server, "mine-1", write) == 0
    assert "".join(texts) == "ab"


def test_a_head_that_was_started_anew() -> None:
    server = Server(logs=[[RuntimeError("Job mine-1 does not exist")]])
    with pytest.raises(ConnectionError, match="submit the study again, it does what is missing"):
        follow(server, "mine-1", lambda text: None)


def test_a_log_that_is_refused() -> None:
    """As aiohttp says what the job server says of a job that it does not know; its errors are no
    OSErrors."""
    assert not issubclass(aiohttp.WSServerHandshakeError, OSError | RuntimeError)
    refused: Any = aiohttp.WSServerHandshakeError(Mock(), (), status=404)
    server = Server(logs=[[aiohttp.ServerDisconnectedError()], [refused]])
    with pytest.raises(ConnectionError, match="submit the study again"):
        follow(server, "mine-404", lambda text: None)


def test_a_job_whose_name_is_a_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """``mine-404`` in an error does not mean that there is no such job."""
    broken: list[Any] = ["a", RuntimeError("connection of mine-404 closed")]
    server = Server(info("mine-404", "RUNNING"), logs=[broken, ["ab"]], ends="SUCCEEDED")
    texts, write = written()
    assert follow(server, "mine-404", write) == 0
    assert "".join(texts) == "ab"


def test_nobody_answers_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "GIVE_UP_S", 0)
    server = Server(logs=[[OSError("refused")], [OSError("refused")]])
    with pytest.raises(ConnectionError, match="job mine-1 may go on"):
        follow(server, "mine-1", lambda text: None)


@pytest.mark.parametrize("name", ["mine", "mine-2"])
def test_cancelled_by_name_or_id(name: str) -> None:
    server = Server(info("mine-1", "SUCCEEDED"), info("mine-2", "RUNNING"))
    assert cancel(server, name) == "mine-2"
    assert server.stopped == ["mine-2"]


def test_nothing_to_cancel() -> None:
    with pytest.raises(ValueError, match="nothing runs by the name of mine"):
        cancel(Server(info("mine-1", "SUCCEEDED")), "mine")


def test_the_newest_first() -> None:
    server = Server(info("a", "FAILED", start_time=1), info("b", "RUNNING", start_time=2))
    server.known.append(info("x", "RUNNING", metadata=None))
    assert [job.submission_id for job in jobs(server)] == ["b", "a"]


def test_no_dashboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:2")
    with pytest.raises(ConnectionError, match=r"ray dashboard cluster\.yaml"):
        room.connect("10.0.0.1:6379")
    with pytest.raises(ConnectionError, match=r"no Ray cluster answers at http://127.0.0.1:1: "):
        room.connect("http://127.0.0.1:1")
    assert os.environ["RAY_API_SERVER_ADDRESS"] == "http://127.0.0.1:2", "left as it was"


def command(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([RAYSTUDY, *arguments], cwd=cwd, capture_output=True, text=True)


SMALL = "tests/experiments/small.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([SMALL, "--sedes", "2"], "did you mean --seeds?"),
        ([SMALL, "--lanes", "many"], "Invalid value for '--lanes'"),
        (["nowhere.py"], "nowhere.py: no such file"),
        ([SMALL, "--working-dir", "docs"], "name another --working-dir"),
        ([SMALL, "--tracking-uri", "http://me:word@host"], "holds a password"),
        ([SMALL], "no Ray cluster answers at http://127.0.0.1:1"),
    ],
)
def test_a_mistake_does_not_travel(arguments: list[str], expected: str) -> None:
    result = command("submit", *arguments, "--address", "http://127.0.0.1:1")
    assert result.returncode == 2
    assert expected in result.stderr
    assert "word" not in result.stderr.replace("password", "")
