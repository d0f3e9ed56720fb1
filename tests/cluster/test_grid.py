"""The grid on Ray: killed, blocked, shared, and begun before pre-training has ended."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from raystudy.experiment import load
from raystudy.failures import failures
from raystudy.ledger import Ledger
from raystudy.stages.adapt import units
from raystudy.stages.site import InProcess
from raystudy.store import Store

pytestmark = pytest.mark.slow

EXPERIMENT = Path(__file__).parents[1] / "experiments" / "grid.py"
RAYSTUDY = str(Path(sys.executable).parent / "raystudy")
COMMAND = [RAYSTUDY, "run", str(EXPERIMENT)]


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "RAY_"))}
    return kept | {"RAYSTUDY_LOG": "ERROR", "RAY_AUTH_MODE": "disabled"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *arguments]
    return subprocess.run(command, env=environment(), capture_output=True, text=True)


def values(store: Store) -> pl.DataFrame:
    columns = ["cell", "split", "metric", "value", "chosen", "num_train"]
    return Ledger(store).read().select(columns)


@pytest.mark.faults
def test_three_hundred_cells_killed_three_times_with_one_kind_that_fails(tmp_path: Path) -> None:
    blocker = tmp_path / "blocker"
    blocker.touch()
    study = load(EXPERIMENT).study(["--blocker", str(blocker)])
    calm = Store(tmp_path / "calm")
    sound = [c for c in study.cells() if c.adaptation.name != "blocked"]
    assert len(sound) == 300
    assert all(e.kind == "done" for e in InProcess(calm).compute([], units(sound)))

    store = Store(tmp_path / "store")
    options = ["--store", store.root, "--blocker", str(blocker)]
    rng, moments = random.Random(1), []
    for _ in range(3):
        with subprocess.Popen(
            [*COMMAND, *options],
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as driver:
            moments.append(rng.uniform(12, 25))
            time.sleep(moments[-1])
            driver.send_signal(signal.SIGKILL)
        time.sleep(3)  # the raylet notices that its driver is gone
    finish = run(*options)
    assert finish.returncode == 1, finish.stdout + finish.stderr
    assert "--retry-failed" in finish.stderr
    assert_frame_equal(values(store), values(calm))
    blocked = {c.key for c in study.cells()} - {c.key for c in sound}
    assert set(failures(store, blocked)) == blocked

    blocker.unlink()
    retried = run(*options, "--retry-failed")
    assert retried.returncode == 0, retried.stdout + retried.stderr
    assert Ledger(store).cells() == {c.key for c in study.cells()}
    assert_frame_equal(
        values(store).filter(pl.col("cell").is_in([c.key for c in sound])), values(calm)
    )


def test_two_drivers_of_one_store_do_no_cell_twice(tmp_path: Path) -> None:
    """Two studies that share every cell, started at once."""
    other = tmp_path / "other.py"
    other.write_text(EXPERIMENT.read_text().replace('name="grid"', 'name="other"'))
    store = Store(tmp_path / "store")
    drivers = [
        subprocess.Popen(
            [RAYSTUDY, "run", str(file), "--store", store.root],
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for file in (EXPERIMENT, other)
    ]
    for driver in drivers:
        _, said = driver.communicate(timeout=500)
        assert driver.returncode == 0, said
    written = [
        cell
        for name in store.names("ledger", "records")
        for cell in pl.read_parquet(store.path("ledger", "records", name))["cell"].unique()
    ]
    assert len(written) == len(set(written)) == 300


def test_cells_of_a_finished_backbone_start_while_others_still_pre_train(tmp_path: Path) -> None:
    file = tmp_path / "early.py"
    file.write_text(
        EXPERIMENT.read_text().replace("def study(", "def all_of_it(").replace("early(", "study(")
    )
    store = Store(tmp_path / "store")
    command = [RAYSTUDY, "run", str(file), "--store", store.root, "--lanes", "1"]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    records = [Path(store.path("ledger", "records", n)) for n in store.names("ledger", "records")]
    markers = list(Path(store.path("pretrainings")).glob("*/_done.json"))
    assert (len(records), len(markers)) == (2, 2)
    first_cell = min(path.stat().st_mtime for path in records)
    last_backbone = max(path.stat().st_mtime for path in markers)
    assert first_cell < last_backbone
