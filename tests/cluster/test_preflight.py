"""Nodes that leave, or cannot answer, while a preflight asks them."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raystudy import preflight
from raystudy.cluster.placement import Placement
from raystudy.preflight import Facts, Questions

from .raylets import Raylets, raylets

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Raylets]:
    with raylets(monkeypatch, num_nodes=1, cpus_per_node=1) as cluster:
        yield cluster


def test_a_node_that_leaves_is_no_fault(
    cluster: Raylets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that stays but cannot answer is."""
    import ray

    from raystudy.cluster import preflight as of_cluster

    ask, asked = preflight.ask, tmp_path / "asked"
    ray.init(address=cluster.address, include_dashboard=False)
    try:
        (node,) = cluster.nodes
        leaving = node.node_id

        def dawdle(*arguments: Any) -> Facts:
            if ray.get_runtime_context().get_node_id() == leaving:
                asked.touch()
                time.sleep(120)
            return ask(*arguments)

        def pull_the_plug() -> None:
            while not asked.exists():
                time.sleep(0.1)
            cluster.lose_node(node)

        monkeypatch.setattr(of_cluster, "ask", dawdle)
        accident = threading.Thread(target=pull_the_plug)
        accident.start()
        questions = Questions(str(tmp_path / "store"))
        assert not [f for f in of_cluster.examine(questions, Placement(), []) if f.fatal]
        accident.join()

        def fail(*_: Any) -> Facts:
            raise ImportError("no such module")

        monkeypatch.setattr(of_cluster, "ask", fail)
        (finding,) = [f for f in of_cluster.examine(questions, Placement(), []) if f.fatal]
        assert "no such module" in finding.line
    finally:
        ray.shutdown()
