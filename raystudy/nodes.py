"""The node types of a cluster's own file: which nodes may come, and which stand in for which.

``cluster.yaml`` is Ray's; what raystudy adds to it stands under ``metadata``, the one place where
Ray's schema takes anything and reads nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INGEST = "ingest"
"""The resource by which nodes without a GPU offer themselves to loaders."""
Resources = Mapping[str, float]


@dataclass(frozen=True)
class NodeType:
    """One of ``available_node_types``."""

    name: str
    resources: Resources
    max_nodes: int
    priority: int
    """Of types that would do, Ray's autoscaler starts the one with the highest."""
    is_head: bool = False

    @property
    def num_gpus(self) -> int:
        return int(self.resources.get("GPU", 0))

    @property
    def num_cpus(self) -> int:
        return int(self.resources.get("CPU", 0))

    @property
    def kind(self) -> str:
        """Types of one kind stand in for each other."""
        if self.is_head:
            return "head"
        if self.num_gpus:
            return "gpu"
        return INGEST if self.resources.get(INGEST) else "cpu"


def read_config(path: str | Path) -> dict[str, Any]:
    """A cluster's file. Raises FileNotFoundError, or ValueError if it describes no node types."""
    import yaml

    try:
        config = yaml.safe_load(Path(path).read_text())
    except yaml.YAMLError as error:
        line = " ".join(str(error).split())
        raise ValueError(f"{path}: not YAML: {line}") from error
    if not isinstance(config, dict) or not config.get("available_node_types"):
        raise ValueError(
            f"{path}: no available_node_types; give the file that 'ray up' takes, of a cloud that "
            "starts its nodes"
        )
    return config


def node_types(config: Mapping[str, Any]) -> list[NodeType]:
    """Those of a cluster's file, in its order, the head among them."""
    head, most = config.get("head_node_type"), int(config.get("max_workers", 2))
    return [
        NodeType(
            name=name,
            resources=dict(described.get("resources") or {}),
            max_nodes=1 if name == head else min(most, int(described.get("max_workers", most))),
            priority=int(described.get("priority", 0)),
            is_head=name == head,
        )
        for name, described in config["available_node_types"].items()
    ]


def preferred(types: Sequence[NodeType]) -> dict[str, list[NodeType]]:
    """Worker types by kind, those that are started first before those that stand in for them."""
    kinds: dict[str, list[NodeType]] = {}
    for one in types:
        if not one.is_head and one.max_nodes:
            kinds.setdefault(one.kind, []).append(one)
    for alike in kinds.values():
        alike.sort(key=lambda t: -t.priority)  # stable: the file's order otherwise
    return kinds


def to_come(config: Mapping[str, Any]) -> list[Resources]:
    """The resources of every worker that the autoscaler may start, of each kind the preferred type:
    what stands in for it adds nothing. No more than ``max_workers`` in all."""
    found: list[Resources] = [
        best.resources
        for best, *_ in preferred(node_types(config)).values()
        for _ in range(best.max_nodes)
    ]
    return found[: int(config.get("max_workers", 2))]


def with_those_to_come(alive: Sequence[Resources], coming: Sequence[Resources]) -> list[Resources]:
    """``alive`` nodes, and of those that may come the ones that are not among them yet."""
    unmatched = list(alive)
    missing = []
    for resources in coming:
        here = next((node for node in unmatched if _offers(node, resources)), None)
        if here is None:
            missing.append(resources)
        else:
            unmatched.remove(here)
    return [*alive, *missing]


def _offers(node: Resources, resources: Resources) -> bool:
    return all(node.get(name, 0) >= amount for name, amount in resources.items())
