"""What Ray's autoscaler makes of cluster.yaml: which type it starts, and which one stands in."""

from collections import Counter
from typing import Any

import pytest

from .launcher import load, prepared

TRAINING = {"CPU": 0.5, "GPU": 1.0}
LOADING = {"CPU": 0.25, "ingest": 0.001}


def started(file: str, demands: list[dict[str, float]], unavailable: tuple[str, ...] = ()) -> Any:
    """Nodes that the autoscaler of version 2 would start from nothing, by type."""
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
    from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
    from ray.autoscaler.v2.utils import ResourceRequestUtil

    config = AutoscalingConfig(prepared(load(file)))
    reply = ResourceDemandScheduler(None).schedule(
        SchedulingRequest(
            node_type_configs=config.get_node_type_configs(),
            max_num_nodes=config.get_max_num_nodes(),
            resource_requests=ResourceRequestUtil.group_by_count(
                [ResourceRequestUtil.make(demand) for demand in demands]
            ),
            cloud_resource_availabilities=dict.fromkeys(unavailable, 0.0),
            recoverable_resource_availabilities=dict.fromkeys(unavailable, 0.0),
            disable_launch_config_check=True,
        )
    )
    launched = Counter({launch.instance_type: launch.count for launch in reply.to_launch})
    return launched, len(reply.infeasible_resource_requests)


@pytest.mark.parametrize(
    ("file", "first", "second"),
    [("cluster.yaml", "gpu-l40s", "gpu-a10g"), ("clusters/gcp.yaml", "gpu-l4", "gpu-t4")],
)
def test_the_next_type_stands_in(file: str, first: str, second: str) -> None:
    assert started(file, [TRAINING] * 4) == ({first: 4}, 0)
    assert started(file, [TRAINING] * 4, unavailable=(first,)) == ({second: 4}, 0)


@pytest.mark.parametrize("file", ["cluster.yaml", "clusters/gcp.yaml"])
def test_loaders_get_a_node_without_a_gpu(file: str) -> None:
    launched, infeasible = started(file, [LOADING] * 20 + [TRAINING])
    assert launched.pop("ingest") == 1
    assert [name.startswith("gpu-") for name in launched] == [True]
    assert infeasible == 0


def test_no_more_than_allowed() -> None:
    launched, _ = started("cluster.yaml", [TRAINING] * 40)
    # Ray counts the head, which is not there yet in this test.
    assert sum(launched.values()) == load("cluster.yaml")["max_workers"] + 1
    assert launched["gpu-l40s"] == 8


def test_nothing_is_started_for_nothing() -> None:
    assert started("cluster.yaml", []) == ({}, 0)
