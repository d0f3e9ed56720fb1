"""What a plan takes on a cluster: device-hours become wall time and money.

Prices stand in the cluster's file, because they are of its region and its day::

    metadata:
      prices:
        currency: USD
        as_of: 2026-10
        per_hour: {head: 0.20, gpu-l40s: 2.24, ingest: 0.71}
        gpus: {gpu-l40s: {device: a100, speed: 0.42}}

``speed`` is what one of its GPUs reaches, as a share of ``device``, which is one of those that
``plan --device`` knows.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from raystudy.estimate import CPU_CORE
from raystudy.nodes import INGEST, NodeType, node_types, preferred, read_config
from raystudy.plan import Plan
from raystudy.spec import Pretraining, Trunk
from raystudy.trunks import own_samples

START_S = 300.0
"""From the demand to a worker that is set up; a guess for a cloud's machine of a common image."""


class Speed(BaseModel):
    """How fast a GPU of a node type is."""

    model_config = ConfigDict(extra="forbid")
    device: str
    speed: float = Field(gt=0)


class Prices(BaseModel):
    """The price table of a cluster's file."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)
    currency: str
    as_of: str
    per_hour: dict[str, Annotated[float, Field(ge=0)]]
    gpus: dict[str, Speed] = {}

    @field_validator("as_of", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return str(value)  # YAML takes 2026-10-01 for a date


class Cluster(NamedTuple):
    """What a cluster's file says of its nodes and their prices."""

    path: str
    head: NodeType | None
    kinds: dict[str, list[NodeType]]
    prices: Prices
    max_workers: int

    @property
    def candidates(self) -> list[NodeType]:
        """Types that can do a study's work, the preferred one first."""
        return self.kinds.get("gpu") or self.kinds.get("cpu") or self.kinds.get(INGEST) or []

    @property
    def device(self) -> str:
        """What the preferred type's speed is said in terms of."""
        best = self.candidates[0]
        return self.prices.gpus[best.name].device if best.num_gpus else CPU_CORE


@dataclass(frozen=True)
class Price:
    """Of a plan on nodes of one type."""

    node: str
    num_nodes: int
    pretrain_s: float
    adapt_s: float | None
    """None where it is not known."""
    wall_s: float
    """Start of the nodes included, adaptation where it is known."""
    amount: float
    """In the cluster's currency; head and ingest nodes included."""


def read_cluster(path: str | Path) -> Cluster:
    """Raises FileNotFoundError, or ValueError that names the file and the field."""
    config = read_config(path)
    types = node_types(config)
    head = next((t for t in types if t.is_head), None)
    table = (config.get("metadata") or {}).get("prices")
    if table is None:
        raise ValueError(f"{path}: metadata.prices is missing; see cluster.yaml for its form")
    try:
        prices = Prices.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in ("metadata", "prices", *first["loc"]))
        raise ValueError(f"{path}: {place}: {first['msg']}") from error
    for one in types:
        if one.name not in prices.per_hour:
            raise ValueError(
                f"{path}: metadata.prices.per_hour lacks '{one.name}', which is one of "
                "available_node_types"
            )
        if one.num_gpus and one.name not in prices.gpus:
            raise ValueError(
                f"{path}: metadata.prices.gpus lacks '{one.name}', which has a GPU; give its "
                "device and speed"
            )
    cluster = Cluster(str(path), head, preferred(types), prices, int(config.get("max_workers", 2)))
    workers = cluster.candidates
    if not any(one.num_cpus or one.num_gpus for one in workers):
        raise ValueError(
            f"{path}: no node type but the head can do any work; give the 'resources' of each"
        )
    if len(devices := {prices.gpus[one.name].device for one in workers if one.num_gpus}) > 1:
        raise ValueError(
            f"{path}: metadata.prices.gpus speaks of {', '.join(sorted(devices))}; types that "
            "stand in for each other need one device to be compared with"
        )
    return cluster


def shares(todo: Plan) -> list[float]:
    """How much of all missing pre-training each run is, by the views it trains on. Sums to 1."""
    views = [
        own_samples(spec, todo.trunks) * spec.method.num_views
        for spec in todo.work
        if _is_missing(spec, todo)
    ]
    return [v / sum(views) for v in views if v]


def price(
    cluster: Cluster,
    pretrain_s: float,
    adapt_s: float | None,
    parts: Sequence[float],
    num_workers: int = 1,
) -> list[Price]:
    """What the work takes on nodes of each type that can do it, the preferred one first.

    ``pretrain_s`` are seconds of one of ``cluster.device``, ``parts`` the shares of its runs
    (``shares``), each of which is split over ``num_workers``; ``adapt_s`` are seconds of one core.
    Every node is paid until the work is over, and one ingest node while there is pre-training.
    Raises ValueError if a run needs more workers than there are.
    """
    return [
        _price(cluster, one, pretrain_s, adapt_s, parts, num_workers) for one in cluster.candidates
    ]


def makespan(lengths: Iterable[float], num_slots: int) -> float:
    """When the last of the jobs ends, longest first, each to the slot that is free first (Graham
    1969): at most a third over the best that is possible."""
    slots = [0.0] * num_slots
    for length in sorted(lengths, reverse=True):
        heapq.heapreplace(slots, slots[0] + length)
    return max(slots)


def _price(
    cluster: Cluster,
    one: NodeType,
    pretrain_s: float,
    adapt_s: float | None,
    parts: Sequence[float],
    num_workers: int,
) -> Price:
    has_ingest = bool(parts) and one.kind != INGEST and INGEST in cluster.kinds
    most = max(1, min(one.max_nodes, cluster.max_workers - has_ingest))
    per_node, speed = one.num_cpus, 1.0
    if one.num_gpus:
        said = cluster.prices.gpus[one.name]
        per_node, speed = one.num_gpus, said.speed
    if num_workers > most * per_node:
        raise ValueError(
            f"{cluster.path}: {num_workers} workers share a pre-training, and {most} nodes of "
            f"'{one.name}' hold only {most * per_node}; lower --workers, or raise max_workers"
        )
    num_nodes = most
    if parts:  # more nodes than there is work for are not started
        num_nodes = min(most, math.ceil(len(parts) * num_workers / per_node))
    lanes = num_nodes * per_node // num_workers
    train_s = makespan((pretrain_s * p / speed / num_workers for p in parts), lanes)
    cores = num_nodes * max(1, one.num_cpus)
    tune_s = None if adapt_s is None else adapt_s / cores
    wall_s = START_S + train_s + (tune_s or 0.0)
    per_hour = cluster.prices.per_hour
    paid = num_nodes * per_hour[one.name] * wall_s
    if cluster.head:
        paid += per_hour[cluster.head.name] * wall_s
    if has_ingest:
        paid += per_hour[cluster.kinds[INGEST][0].name] * (START_S + train_s)
    return Price(one.name, num_nodes, train_s, tune_s, wall_s, paid / 3600)


def _is_missing(spec: Pretraining, todo: Plan) -> bool:
    return not isinstance(spec, Trunk) or spec in todo.missing_trunks
