"""From ``ray up`` to ``ray down`` on this machine: nodes come and go, the head dies, and the ledger
is that of the same study in one process."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from raystudy.experiment import load
from raystudy.ledger import Ledger
from raystudy.spec import Study
from raystudy.stages.adapt import units
from raystudy.stages.site import InProcess
from raystudy.store import Store

from ..mlflow_server import MlflowServer, expected, held
from ..object_store import BUCKET, SECRET, object_store
from .launched import ROOT, Launched, launched, until

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(2400)]

SMALL = "tests/experiments/small.py"
EPOCHS = "30"
"""Long enough for a head to be lost between the first and the last of its pre-trainings."""
SUBMIT = ("submit", SMALL, "--epochs", EPOCHS, "--checkpoint-every", "2")


@pytest.fixture(scope="module")
def small() -> Study:
    return load(ROOT / SMALL).study(["--epochs", EPOCHS])


@pytest.fixture(scope="module")
def reference(small: Study, tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """The same study without Ray, MLflow or an object store."""
    import torch

    torch.set_num_threads(1)
    store = Store(tmp_path_factory.mktemp("reference"))
    specs: Any = list({c.backbone.key: c.backbone for c in small.cells()}.values())
    with nullcontext(InProcess(store)) as site:
        events = [*site.index(list({p.source.key: p.source for p in specs}.values()))]
        events += site.compute(specs, units(small.cells()))
    assert not [e for e in events if e.kind == "failed"]
    return values(store)


def values(store: Store) -> pl.DataFrame:
    return Ledger(store).read().select("cell", "split", "metric", "value", "chosen", "num_train")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launched]:
    """Its nodes have an object store and an MLflow server in common, and nothing else."""
    with object_store() as s3, MlflowServer(tmp_path) as server:
        env = s3 | {"RAYSTUDY_STORE": f"s3://{BUCKET}/store", "MLFLOW_TRACKING_URI": server.uri}
        for name, value in s3.items():
            monkeypatch.setenv(name, value)
        with launched(tmp_path, env) as cluster:
            yield cluster


def store_of(cluster: Launched) -> Store:
    return Store(cluster.env["RAYSTUDY_STORE"])


def test_from_up_to_down(cluster: Launched, small: Study, reference: pl.DataFrame) -> None:
    until(lambda: cluster.workers() == 1, 400, "no worker joins")
    job = cluster.raystudy(*SUBMIT)
    until(lambda: cluster.workers() == 2 or job.poll() is not None, 600, "no node is added")
    said, _ = job.communicate(timeout=1200)
    assert job.returncode == 0, said
    assert f"Report: s3://{BUCKET}/store/studies/small/report.html" in said

    store = store_of(cluster)
    assert values(store).equals(reference)
    assert store.read("studies", "small", "report.html")
    hosts = {p.name.partition("_")[0] for p in cluster.nodes.iterdir()}
    assert len(hosts) == 3, "a head, a worker, and one that was added"
    points, statuses = held(cluster.env["MLFLOW_TRACKING_URI"], "small")
    assert points == expected(small, store)
    assert set(statuses.values()) == {"FINISHED"}

    until(lambda: cluster.workers() == 1, 400, "no node is removed")
    leaks = [p for p in cluster.logs() if SECRET.encode() in p.read_bytes()]
    assert not leaks
    assert SECRET not in said
    cluster.down()
    assert cluster.provider.non_terminated_nodes({}) == []


def test_a_head_that_dies(cluster: Launched, small: Study, reference: pl.DataFrame) -> None:
    """A new one finishes what was missing, and nothing else."""
    store = store_of(cluster)
    first = cluster.raystudy(*SUBMIT)
    until(lambda: store.done_keys("pretrainings"), 900, "nothing is trained")
    cluster.lose_head()
    first.kill()
    first.wait()
    done = {k: store.provenance("pretrainings", k) for k in store.done_keys("pretrainings")}
    assert 1 <= len(done) < len({c.backbone.key for c in small.cells()})

    cluster.up()
    again = cluster.raystudy(*SUBMIT)
    said, _ = again.communicate(timeout=1200)
    assert again.returncode == 0, said
    assert values(store).equals(reference)
    for key, provenance in done.items():
        assert store.provenance("pretrainings", key) == provenance, "trained once"
    points, statuses = held(cluster.env["MLFLOW_TRACKING_URI"], "small")
    assert points == expected(small, store)
    assert set(statuses.values()) == {"FINISHED"}
