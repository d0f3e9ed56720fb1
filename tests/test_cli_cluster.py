"""What the command line says of clusters, without one."""

import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from raystudy.cli import main

ROOT = Path(__file__).parents[1]
SMALL = "tests/experiments/small.py"


class Answer(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


Raystudy = Callable[..., Answer]


@pytest.fixture
def raystudy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Raystudy:
    """The command line, in this process: a new one would take seconds to load it each time."""
    monkeypatch.chdir(ROOT)
    for name in ("RAY_ADDRESS", "RAYSTUDY_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["raystudy", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        assert isinstance(code, int | None)
        said = capsys.readouterr()
        return Answer(code or 0, said.out, said.err)

    return call


def test_a_plan_has_a_price(raystudy: Raystudy, tmp_path: Path) -> None:
    store = ["--store", str(tmp_path)]
    plan = raystudy("plan", SMALL, "--cluster", "cluster.yaml", "--workers", "2", *store)
    assert plan.returncode == 0, plan.stderr
    rows = {line.split()[2]: line.split() for line in plan.stdout.splitlines() if " × " in line}
    assert list(rows) == ["gpu-l40s", "gpu-a10g", "gpu-l4"]
    assert float(rows["gpu-l40s"][-1]) > float(rows["gpu-l4"][-1]) > 0
    assert "USD" in plan.stdout
    assert "from the prices in cluster.yaml, as of 2026-10" in plan.stdout
    for said, expected in (
        (["--cluster", "cluster.yaml", "--device", "h100"], "are those of the cluster's file"),
        (["--workers", "2"], "give --cluster, too"),
    ):
        refused = raystudy("plan", SMALL, *said, *store)
        assert refused.returncode == 2
        assert expected in refused.stderr
    many = raystudy("plan", SMALL, "--cluster", "cluster.yaml", "--workers", "99", *store)
    assert many.returncode == 2
    assert "lower --workers, or raise max_workers" in many.stderr


def test_a_plan_for_no_cluster(raystudy: Raystudy, tmp_path: Path) -> None:
    plan = raystudy("plan", SMALL, "--cluster", "pyproject.toml", "--store", str(tmp_path))
    assert plan.returncode == 2
    assert plan.stderr.startswith("error: pyproject.toml: ")


def test_the_doctor_looks_at_this_machine(raystudy: Raystudy, tmp_path: Path) -> None:
    doctor = raystudy("doctor", SMALL, "--store", str(tmp_path))
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert "this machine: nothing stands in the way" in doctor.stdout
    ill = raystudy("doctor", SMALL, "--store", "/proc/nowhere")
    assert ill.returncode == 1
    assert "fault: this machine: store /proc/nowhere: FileNotFoundError" in ill.stdout


@pytest.mark.parametrize("command", ["doctor", "run"])
def test_no_cluster_there(raystudy: Raystudy, command: str, tmp_path: Path) -> None:
    """Ray itself would try for minutes."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    result = raystudy(command, SMALL, "--store", str(tmp_path), "--address", address)
    assert result.returncode == 2
    assert f"error: no Ray cluster answers at {address} (Connection refused)" in result.stderr
