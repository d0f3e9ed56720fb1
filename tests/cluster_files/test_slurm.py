"""The Slurm script, run with stand-ins for Slurm and Ray that write down how they were called."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .launcher import ROOT

SCRIPT = ROOT / "clusters/slurm.sh"
FAKES = {
    "scontrol": """
if [ "$1 $2" = "show hostnames" ]; then printf 'node7\\nnode8\\nnode9\\n'; fi
[ "$1" = requeue ] && exit 0 || true""",
    "srun": """
case "$*" in
  *"hostname --ip-address"*) echo "fe80::1 10.0.0.7";;
  *) while [ "$1" != ray ]; do shift; done; "$@";;
esac""",
    "ray": """
token="$(stat -c '%a %s' "$RAY_AUTH_TOKEN_PATH")"
echo "token: $RAY_AUTH_MODE $token" >> "$CALLS"
while [ "$1" != -- ]; do shift; done; shift; "$@" """,
    "raystudy": """
echo "env: $RAYSTUDY_STORE $RAY_ADDRESS" >> "$CALLS"
sleep "${STUDY_S:-0}"; exit "${STUDY_STATUS:-0}" """,
}


@pytest.fixture
def allocation(tmp_path: Path) -> dict[str, str]:
    """The environment of a batch script on three nodes."""
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, body in FAKES.items():
        file = programs / name
        file.write_text(f'#!/bin/bash\necho "{name} $*" >> "$CALLS"\n{body}\n')
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "CALLS": str(tmp_path / "calls"),
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NODELIST": "node[7-9]",
        "SLURM_JOB_NUM_NODES": "3",
        "SLURM_CPUS_PER_TASK": "8",
        "SLURM_GPUS_ON_NODE": "1",
    }


def sbatch(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(SCRIPT), *arguments], env=environment, capture_output=True, text=True
    )


def calls(environment: dict[str, str]) -> list[str]:
    return Path(environment["CALLS"]).read_text().splitlines()


def test_it_is_shell() -> None:
    assert subprocess.run(["bash", "-n", str(SCRIPT)]).returncode == 0


def test_shellcheck_finds_nothing() -> None:
    shellcheck = Path(sys.executable).parent / "shellcheck"
    if not shellcheck.exists():
        pytest.skip("shellcheck is not installed")
    checked = subprocess.run([str(shellcheck), str(SCRIPT)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_slurm_reads_every_line_that_is_meant_for_it() -> None:
    """It stops reading at the first command."""
    lines = SCRIPT.read_text().splitlines()
    first_command = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    meant = [i for i, line in enumerate(lines) if line.startswith("#SBATCH")]
    assert meant
    assert max(meant) < first_command


def test_one_ray_on_each_node_and_the_study_on_the_head(allocation: dict[str, str]) -> None:
    done = sbatch(allocation, "experiments/x.py", "--scale", "paper")
    assert done.returncode == 0, done.stderr
    seen = calls(allocation)
    (start,) = [c for c in seen if c.startswith("srun") and "symmetric-run" in c]
    assert start.startswith("srun --nodes=3 --ntasks=3 --kill-on-bad-exit=1 ray symmetric-run ")
    assert "--address 10.0.0.7:24711 --min-nodes 3 --num-cpus 8 --num-gpus 1" in start
    assert "raystudy run experiments/x.py --scale paper --gpu" in seen
    assert f"env: {allocation['HOME']}/raystudy 10.0.0.7:24711" in seen


def test_a_token_that_nobody_else_reads_and_that_does_not_stay(allocation: dict[str, str]) -> None:
    sbatch(allocation, "experiments/x.py")
    assert "token: token 600 64" in calls(allocation)
    assert not list(Path(allocation["SLURM_SUBMIT_DIR"]).glob(".ray-token-*"))


def test_without_gpus_none_are_asked_for(allocation: dict[str, str]) -> None:
    del allocation["SLURM_GPUS_ON_NODE"]
    assert sbatch(allocation, "experiments/x.py").returncode == 0
    assert "raystudy run experiments/x.py" in calls(allocation)
    assert not any("--gpu" in call or "--num-gpus" in call for call in calls(allocation))


def test_the_studys_exit_code_is_the_jobs(allocation: dict[str, str]) -> None:
    assert sbatch(allocation | {"STUDY_STATUS": "3"}, "experiments/x.py").returncode == 3


def test_without_an_experiment_it_says_how(allocation: dict[str, str]) -> None:
    done = sbatch(allocation)
    assert done.returncode == 2
    assert "sbatch clusters/slurm.sh EXPERIMENT" in done.stderr


def test_before_its_time_is_over_it_goes_back_into_the_queue(allocation: dict[str, str]) -> None:
    environment = allocation | {"STUDY_S": "2", "STUDY_STATUS": "5"}
    job = subprocess.Popen(["bash", str(SCRIPT), "x.py"], env=environment, stderr=subprocess.PIPE)
    while not Path(environment["CALLS"]).exists() or "env:" not in "".join(calls(environment)):
        time.sleep(0.05)
    job.send_signal(signal.SIGUSR1)
    assert job.wait(20) == 5, "the study's end is still the job's"
    assert "scontrol requeue 4711" in calls(environment)
