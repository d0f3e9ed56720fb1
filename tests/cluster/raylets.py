"""Several raylets on one machine: a cluster to be mistreated."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil
import pytest

QUICK = {
    "RAY_AUTH_MODE": "disabled",  # else Ray makes a token that a driver of another process lacks
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "5",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "0.5",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "20",
}
"""A death is noticed within seconds."""


class Raylets:
    """A head with one core and ``num_nodes`` nodes beside it."""

    def __init__(self, num_nodes: int, cpus_per_node: int) -> None:
        from ray.cluster_utils import Cluster

        self._cpus = cpus_per_node
        self._cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        self._nodes = [self._cluster.add_node(num_cpus=cpus_per_node) for _ in range(num_nodes)]
        self.address: str = self._cluster.address

    def add_node(self) -> None:
        self._nodes.append(self._cluster.add_node(num_cpus=self._cpus))

    @property
    def nodes(self) -> list[Any]:
        """Beside the head."""
        return [*self._nodes]

    def nodes_with_workers(self) -> list[Any]:
        return [node for node in self._nodes if _workers(node)]

    def give_notice(self, node: Any, grace_s: float) -> None:
        """As a cloud does before it takes a spot machine back."""
        from ray._raylet import GcsClient  # pyright: ignore[reportAttributeAccessIssue]
        from ray.core.generated.autoscaler_pb2 import (
            DrainNodeReason,  # pyright: ignore[reportAttributeAccessIssue]
        )

        accepted, why = GcsClient(address=self.address).drain_node(
            node.node_id,
            DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION"),
            "a test",
            int(1000 * (time.time() + grace_s)),
        )
        assert accepted, why

    def lose_node(self, node: Any) -> None:
        """As if the plug were pulled."""
        processes = _raylet(node).children(recursive=True)
        self._cluster.remove_node(node, allow_graceful=False)
        for process in processes:  # with the machine goes all that it ran
            _kill(process)
        self._nodes.remove(node)

    def workers(self) -> list[psutil.Process]:
        """The processes that train."""
        return [worker for node in self._nodes for worker in _workers(node)]

    def shutdown(self) -> None:
        self._cluster.shutdown()


@contextmanager
def raylets(
    monkeypatch: pytest.MonkeyPatch, num_nodes: int, cpus_per_node: int
) -> Iterator[Raylets]:
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)
    cluster = Raylets(num_nodes, cpus_per_node)
    try:
        yield cluster
    finally:
        cluster.shutdown()


def environment() -> dict[str, str]:
    """Of a driver: like this process, but with no other Ray or MLflow in mind."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "RAY_"))}
    return kept | QUICK | {"RAYSTUDY_LOG": "WARNING"}


def _workers(node: Any) -> list[psutil.Process]:
    found = []
    for process in _raylet(node).children():
        try:
            if process.name().startswith("ray::RayTrainWo"):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def _raylet(node: Any) -> psutil.Process:
    (info,) = node.all_processes["raylet"]
    return psutil.Process(info.process.pid)


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()
