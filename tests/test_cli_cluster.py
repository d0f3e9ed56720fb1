"""What the command line says of clusters, without one."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RAYSTUDY = str(Path(sys.executable).parent / "raystudy")
SMALL = "tests/experiments/small.py"


def raystudy(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([RAYSTUDY, *arguments], cwd=ROOT, capture_output=True, text=True)


def test_a_plan_has_a_price(tmp_path: Path) -> None:
    store = ["--store", str(tmp_path)]
    plan = raystudy("plan", SMALL, "--cluster", "cluster.yaml", "--workers", "2", *store)
    assert plan.returncode == 0, plan.stderr
    rows = {line.split()[2]: line.split() for line in plan.stdout.splitlines() if " × " in line}
    assert list(rows) == ["gpu-l40s", "gpu-a10g", "gpu-l4"]
    assert float(rows["gpu-l40s"][-1]) > float(rows["gpu-l4"][-1]) > 0
    assert "USD" in plan.stdout
    assert "from the prices in cluster.yaml, as of 2026-10" in plan.stdout
    many = raystudy("plan", SMALL, "--cluster", "cluster.yaml", "--workers", "99", *store)
    assert many.returncode == 2
    assert "lower --workers, or raise max_workers" in many.stderr


def test_a_plan_for_no_cluster(tmp_path: Path) -> None:
    plan = raystudy("plan", SMALL, "--cluster", "pyproject.toml", "--store", str(tmp_path))
    assert plan.returncode == 2
    assert plan.stderr.startswith("error: pyproject.toml: ")


def test_the_doctor_looks_at_this_machine(tmp_path: Path) -> None:
    doctor = raystudy("doctor", SMALL, "--store", str(tmp_path))
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert "this machine: nothing stands in the way" in doctor.stdout
    ill = raystudy("doctor", SMALL, "--store", "/proc/nowhere")
    assert ill.returncode == 1
    assert "fault: this machine: store /proc/nowhere: FileNotFoundError" in ill.stdout


@pytest.mark.parametrize("command", ["doctor", "run"])
def test_no_cluster_there(command: str, tmp_path: Path) -> None:
    """Ray itself would try for minutes."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    result = raystudy(command, SMALL, "--store", str(tmp_path), "--address", address)
    assert result.returncode == 2
    assert f"error: no Ray cluster answers at {address} (Connection refused)" in result.stderr
