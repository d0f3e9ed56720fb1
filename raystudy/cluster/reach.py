"""What a cluster can hold: the nodes that are there, and those that its autoscaler may start.

A cluster that grows from nothing has no worker when a study begins; judged by its nodes alone it
could hold no work at all.
"""

import json
import os
from pathlib import Path
from typing import Any

import ray

from raystudy.nodes import Resources, read_config, to_come, with_those_to_come

NODE_TYPES = "RAYSTUDY_NODE_TYPES"
"""Environment of a driver that has no such file: the same types, as JSON."""
BOOTSTRAP = "~/ray_bootstrap_config.yaml"
"""Where ``ray up`` leaves the cluster's file on the head, on which jobs have their drivers."""
NODE_TYPE = "RAY_NODE_TYPE_NAME"
"""Environment of whatever runs on a head that ``ray up`` started, jobs included. Without it such a
file may be of a cluster that is long gone."""


def reachable() -> list[Resources]:
    """The resources of each node that is alive or may come. Raises ValueError for types in the
    environment that cannot be understood."""
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return with_those_to_come(alive, to_come(config) if (config := cluster_config()) else [])


def cluster_config() -> dict[str, Any] | None:
    """What is known of this cluster's node types, in the form of its file; None if nothing."""
    if said := os.environ.get(NODE_TYPES):
        try:
            types = json.loads(said)
            most = sum(int(described["max_workers"]) for described in types.values())
            return {"available_node_types": types, "max_workers": most}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"{NODE_TYPES}: {type(error).__name__}: {error}; give "
                '{"name": {"resources": {"CPU": 8}, "max_workers": 2}, …}'
            ) from error
    path = Path(BOOTSTRAP).expanduser()
    if NODE_TYPE not in os.environ or not path.exists():
        return None
    config = read_config(path)
    return config if os.environ[NODE_TYPE] in config["available_node_types"] else None
