"""A whole study on Ray: equal to the same study in one process, killed or not, shared or not."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from raystudy.experiment import load
from raystudy.ledger import Ledger
from raystudy.spec import Study
from raystudy.stages.adapt import units
from raystudy.stages.site import InProcess
from raystudy.store import Store

pytestmark = pytest.mark.slow

EXPERIMENT = Path(__file__).parents[1] / "experiments" / "small.py"
COMMAND = [str(Path(sys.executable).parent / "raystudy"), "run", str(EXPERIMENT)]


@pytest.fixture(scope="module")
def small() -> Study:
    return load(EXPERIMENT).study()


@pytest.fixture(scope="module")
def reference(small: Study, tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """The same study without Ray, without MLflow, without interruption."""
    import torch

    torch.set_num_threads(1)
    store = Store(tmp_path_factory.mktemp("reference"))
    with nullcontext(InProcess(store)) as site:
        sources = {p.source.key: p.source for p in pretrainings(small)}
        events = [*site.index(list(sources.values()))]
        events += site.compute(pretrainings(small), units(small.cells()))
    assert not [e for e in events if e.kind == "failed"]
    return values(store)


def pretrainings(study: Study) -> list:
    return list({c.backbone.key: c.backbone for c in study.cells()}.values())


def values(store: Store) -> pl.DataFrame:
    return Ledger(store).read().select("cell", "split", "metric", "value", "chosen", "num_train")


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "RAY_"))}
    return kept | {"RAYSTUDY_LOG": "ERROR", "RAY_AUTH_MODE": "disabled"}


def test_killed_three_times_the_ledger_is_that_of_an_uninterrupted_run(
    small: Study, reference: pl.DataFrame, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    command = [*COMMAND, "--store", store.root, "--checkpoint-every", "0.2"]
    rng, moments = random.Random(0), []
    for _ in range(3):
        with subprocess.Popen(
            command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as driver:
            moments.append(rng.uniform(12, 40))
            time.sleep(moments[-1])
            driver.send_signal(signal.SIGKILL)
        time.sleep(3)  # the raylet notices that its driver is gone
    finish = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert finish.returncode == 0, finish.stdout + finish.stderr
    assert values(store).equals(reference), moments

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{store.root}/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'small'")
    runs = client.search_runs([experiment.experiment_id], max_results=500)
    assert {r.info.status for r in runs} == {"FINISHED"}
    keys = [r.data.tags["raystudy.key"] for r in runs]
    assert len(keys) == len(set(keys)), "one run a key, however often the driver died"
    for run in runs:
        if run.data.tags["stage"] == "pretraining":
            steps = [m.step for m in client.get_metric_history(run.info.run_id, "loss")]
            assert steps == sorted(set(steps)), "no step is logged twice"

    # The second run computes nothing, and says so quickly.
    started = time.monotonic()
    again = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert again.returncode == 0
    assert "pretrain:" not in again.stdout
    assert "adapt:" not in again.stdout
    assert time.monotonic() - started < 60


@pytest.fixture
def three_raylets(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # else Ray makes a token the driver lacks
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    for _ in range(2):
        cluster.add_node(num_cpus=2)
    assert cluster.address
    yield cluster.address
    cluster.shutdown()


def test_two_workers_on_three_raylets_learn_as_one_does(
    small: Study, reference: pl.DataFrame, tmp_path: Path, three_raylets: str
) -> None:
    """The samples of each step are the same; batch statistics differ, accuracy hardly."""
    store = Store(tmp_path / "store")
    command = [*COMMAND, "--store", store.root, "--workers", "2", "--address", three_raylets]
    finish = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert finish.returncode == 0, finish.stdout + finish.stderr
    for key in store.done_keys("pretrainings"):
        assert store.provenance("pretrainings", key)["num_workers"] == 2

    def accuracy(frame: pl.DataFrame) -> np.ndarray:
        kept = (pl.col("metric") == "accuracy") & (pl.col("split") == "test")
        return frame.filter(kept).sort("cell")["value"].to_numpy()

    one, two = accuracy(reference), accuracy(values(store))
    assert len(one) == len(two)
    assert abs(one.mean() - two.mean()) < 0.06
