"""The floors of the house: imports run downward, and ray, mlflow and torch stay in their rooms."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_imports_run_downward() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("noise/symmetric.py", "import ray"),
        ("ledger.py", "import mlflow"),
        ("laws/power.py", "import torch"),
        ("store.py", "from raystudy.stages.adapt import adapt"),
        ("subset.py", "from raystudy.noise.symmetric import Symmetric"),
        ("report/page.py", "from raystudy.cluster.site import RaySite"),
    ],
)
def test_a_forbidden_import_is_caught(tmp_path: Path, module: str, forbidden: str) -> None:
    """The contract can fail: the same package with one bad line breaks it."""
    package = tmp_path / "raystudy"
    for file in (ROOT / "raystudy").rglob("*.py"):
        copy = package / file.relative_to(ROOT / "raystudy")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(file.read_text())
    (tmp_path / ".importlinter").write_text((ROOT / ".importlinter").read_text())
    with (package / module).open("a") as file:
        file.write(f"\n\ndef _sneak():\n    {forbidden}\n")
    result = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
    )
    assert result.returncode == 1, result.stdout
    assert "BROKEN" in result.stdout


def test_help_and_plan_load_nothing_heavy() -> None:
    """What makes ``raystudy --help`` and ``plan`` come at once."""
    script = (
        "import sys, raystudy.cli, raystudy.plan\n"
        "from raystudy.experiment import load\n"
        "load('experiments/quickstart.py').study([])\n"
        "heavy = {'torch', 'ray', 'mlflow', 'matplotlib', 'sklearn', 'timm', 'open_clip'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
