"""A pre-training on three raylets that loses workers, nodes and its driver ends as if nothing had
happened. ``N_FAULTS=10`` does so ten times."""

import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from raystudy.experiment import load
from raystudy.spec import Pretraining
from raystudy.stages import checkpoints
from raystudy.store import Store

from .raylets import Raylets, environment, raylets

log = logging.getLogger(__name__)
pytestmark = [pytest.mark.slow, pytest.mark.faults]

N_FAULTS = int(os.environ.get("N_FAULTS", "3"))
EXPERIMENT = Path(__file__).parent / "interrupted.py"
TIMEOUT_S = 400
"""Of a driver's last stretch, and of the wait for the next moment."""


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Raylets]:
    with raylets(monkeypatch, num_nodes=2, cpus_per_node=2) as cluster:
        yield cluster


class Driver:
    """``raystudy run`` in a process of its own."""

    def __init__(self, store: Store, cluster: Raylets, checkpoint_every_s: float = 0.5) -> None:
        self._store = store
        self._command = [
            str(Path(sys.executable).parent / "raystudy"),
            *("run", str(EXPERIMENT), "--store", store.root, "--workers", "2"),
            *("--checkpoint-every", str(checkpoint_every_s), "--address", cluster.address),
        ]
        self._log = Path(f"{store.root}.log")
        self.start()

    def start(self) -> None:
        with open(self._log, "a") as log:
            self._process = subprocess.Popen(
                self._command, env=environment(), stdout=log, stderr=log
            )

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self.start()

    def ended(self) -> bool:
        return self._process.poll() is not None

    def finish(self) -> None:
        code = self._process.wait(timeout=TIMEOUT_S)
        assert code == 0, self._log.read_text()[-5000:]


@pytest.mark.timeout((N_FAULTS + 2) * TIMEOUT_S)
def test_whatever_is_killed_the_result_is_the_same(cluster: Raylets, tmp_path: Path) -> None:
    (spec,) = [c.backbone for c in load(EXPERIMENT).study().cells()][:1]
    assert isinstance(spec, Pretraining)
    calm, rough = Store(tmp_path / "calm"), Store(tmp_path / "rough")
    Driver(calm, cluster).finish()

    rng = random.Random(4)
    moments = sorted(rng.sample(range(10, spec.num_steps - 60), N_FAULTS))
    kinds = [["worker", "node", "driver"][i % 3] for i in range(N_FAULTS)]
    rng.shuffle(kinds)
    driver = Driver(rough, cluster)
    for moment, kind in zip(moments, kinds, strict=True):
        reached = wait_for_step(rough, spec, moment, cluster, driver)
        time.sleep(rng.uniform(0, 1))
        log.info("%s, step %d: lose a %s", time.strftime("%X"), reached, kind)
        if kind == "driver":
            driver.kill()
        elif kind == "node":
            cluster.lose_node(rng.choice(cluster.nodes_with_workers()))
            cluster.add_node()
        else:
            rng.choice(cluster.workers()).kill()
    driver.finish()

    def weights(store: Store) -> bytes | None:
        return store.read(spec.room, spec.key, "objective.safetensors")

    assert weights(rough) == weights(calm) is not None
    for store in (calm, rough):
        assert store.provenance(spec.room, spec.key)["num_workers"] == 2
        assert store.names(checkpoints.ROOM, spec.key) == []
    assert logged(rough) == logged(calm)


@pytest.mark.timeout(3 * TIMEOUT_S)
def test_a_notice_of_preemption_makes_a_checkpoint_due_at_once(
    cluster: Raylets, tmp_path: Path
) -> None:
    spec = load(EXPERIMENT).study().cells()[0].backbone
    assert isinstance(spec, Pretraining)
    store = Store(tmp_path / "store")
    driver = Driver(store, cluster, checkpoint_every_s=10_000)
    while not driver.ended() and len(cluster.workers()) < 2:
        time.sleep(0.1)
    node, grace_s = cluster.nodes_with_workers()[0], 60.0
    time.sleep(10)  # to be training, or nearly
    assert checkpoints.last_step(store, spec.key) == 0
    cluster.give_notice(node, grace_s)
    deadline = time.monotonic() + grace_s
    while (saved := checkpoints.last_step(store, spec.key)) == 0 and time.monotonic() < deadline:
        assert not driver.ended()
        time.sleep(0.1)
    assert saved > 0
    cluster.lose_node(node)
    cluster.add_node()
    driver.finish()
    assert store.done(spec.room, spec.key)
    assert len(logged(store)) > 1


def wait_for_step(
    store: Store, spec: Pretraining, step: int, cluster: Raylets, driver: Driver
) -> int:
    """Until a checkpoint of ``step`` or later is there and workers go on from it."""
    deadline = time.monotonic() + TIMEOUT_S
    first = now = checkpoints.last_step(store, spec.key)
    while time.monotonic() < deadline:
        assert not driver.ended(), "nothing was left to kill"
        now = checkpoints.last_step(store, spec.key)
        if now >= step and now > first and len(cluster.workers()) == 2:
            return now
        time.sleep(0.05)
    raise AssertionError(f"no checkpoint of step {step} within {TIMEOUT_S} s, the last is of {now}")


def logged(store: Store) -> list[tuple[int, float]]:
    """(step, loss) of the one MLflow run of the one pre-training, as they were logged."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{store.root}/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'interrupted'")
    runs = client.search_runs([experiment.experiment_id], max_results=500)
    (run,) = [r for r in runs if r.data.tags["stage"] == "pretraining"]
    assert run.info.status == "FINISHED"
    points = [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "loss")]
    steps = [step for step, _ in points]
    assert steps == sorted(set(steps)), "no step is logged twice"
    return points
