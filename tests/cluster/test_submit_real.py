"""The command line against a Ray head of its own: jobs, their logs and their exit codes."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SMALL = "tests/experiments/small.py"


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def environment(store: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY", "MLFLOW_"))}
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return kept | {"PATH": path, "RAY_AUTH_MODE": "disabled", "RAYSTUDY_STORE": str(store)}


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a head with one core, whose environment names a store."""
    scratch = Path("/tmp") / f"raystudy-{os.getpid()}"  # Ray's sockets need a short path
    port = free_port()
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    start += [f"--port={free_port()}", f"--dashboard-port={port}", "--num-cpus=1", "--num-gpus=0"]
    start += ["--disable-usage-stats", f"--temp-dir={scratch}", '--resources={"ingest": 1}']
    head = subprocess.Popen(
        start,
        env=environment(tmp_path_factory.mktemp("store")),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _until_it_answers(f"{address}/api/jobs/", head)
        yield address
    finally:
        processes = [*psutil.Process(head.pid).children(recursive=True), psutil.Process(head.pid)]
        head.terminate()  # it ends what it has started, and nothing else on this machine
        with suppress(subprocess.TimeoutExpired):
            head.wait(20)
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        shutil.rmtree(scratch, ignore_errors=True)


def _until_it_answers(url: str, head: "subprocess.Popen[bytes]") -> None:
    for _ in range(300):
        assert head.poll() is None, "the head ended"
        with suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(url, timeout=2).close()
            return
        time.sleep(0.3)
    pytest.fail(f"{url} does not answer")


def raystudy(*arguments: str, store: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "raystudy"), *arguments],
        cwd=ROOT,
        env=environment(store),
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_doctor_visits_a_cluster_and_tells_the_truth(dashboard: str, tmp_path: Path) -> None:
    """Through the tunnel's address: as a job, on the head, which asks each node."""
    well = raystudy("doctor", SMALL, "--address", dashboard, store=tmp_path)
    assert well.returncode == 0, well.stdout + well.stderr
    assert "submitted: doctor-1" in well.stdout
    assert "nothing stands in the way" in well.stdout

    ill = raystudy("doctor", SMALL, "--workers", "2", "--address", dashboard, store=tmp_path)
    assert ill.returncode == 1
    assert "submitted: doctor-2" in ill.stdout
    assert "fault: 2 workers and 1 loaders need 1.25 CPU, the cluster has 1" in ill.stdout

    listed = raystudy("jobs", "--address", dashboard, store=tmp_path).stdout
    assert listed.index("doctor-2") < listed.index("doctor-1")
    assert "failed" in listed
    assert "succeeded" in listed


def test_a_study_as_a_job(dashboard: str, tmp_path: Path) -> None:
    """Whole, with its loaders on the node that offers itself to them; again, it is done at once."""
    options = ["--store", str(tmp_path / "store"), "--address", dashboard]
    first = raystudy("submit", SMALL, "--checkpoint-every", "5", *options, store=tmp_path)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "submitted: small-1" in first.stdout
    assert "Report: " in first.stdout
    again = raystudy("submit", SMALL, "--checkpoint-every", "5", *options, store=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "submitted: small-2" in again.stdout
    assert "pretrain:" not in again.stdout
