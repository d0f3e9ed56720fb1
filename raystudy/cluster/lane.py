"""Lanes: which pre-trainings one worker group trains, one after the other, and in which order."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Self

from raystudy.cluster.placement import Placement, Range, workers_of
from raystudy.spec import Pretraining, Trunk
from raystudy.store import Store
from raystudy.trunks import beginning, own_samples


@dataclass(frozen=True)
class Lane:
    """What one worker group is told."""

    name: str
    specs: tuple[Pretraining, ...]
    """In the order of training; trunks that are done are among them, for what begins there."""
    store_url: str
    placement: Placement
    num_workers: Range
    max_failures: int = 2

    @property
    def trunks(self) -> list[Trunk]:
        return [s for s in self.specs if isinstance(s, Trunk)]

    def missing(self, store: Store) -> list[Pretraining]:
        done = {room: store.done_keys(room) for room in {s.room for s in self.specs}}
        return [s for s in self.specs if s.key not in done[s.room]]

    def lost_with(self, failed: AbstractSet[str]) -> list[Pretraining]:
        """What cannot be trained because it begins with a trunk that ``failed``."""
        lost: dict[str, Pretraining] = {}
        for spec in self.specs:
            trunk = beginning(spec, self.trunks)
            if trunk and spec.key not in failed and (trunk.key in failed or trunk.key in lost):
                lost[spec.key] = spec
        return list(lost.values())

    def without(self, keys: AbstractSet[str]) -> Self:
        return replace(self, specs=tuple(s for s in self.specs if s.key not in keys))


def lanes(
    specs: Sequence[Pretraining], placement: Placement, num_slots: int, store_url: str
) -> list[Lane]:
    """Families, which share a trunk, stay together in the order given; families go longest first,
    each to the lane with the least to do (Graham 1969). A lane has one number of workers. New ones
    are opened while there are slots for their workers."""
    parts: list[_Part] = []
    free = num_slots
    for family in sorted(families(specs), key=lambda f: -_views(f)):
        workers = workers_of(family[0], placement.num_workers)
        alike = [p for p in parts if p.workers == workers]
        wanted = placement.num_lanes
        if not alike or (len(parts) < wanted if wanted else free >= workers[1]):
            parts.append(part := _Part(workers, [], 0))
            free -= workers[1]
        else:
            part = min(alike, key=lambda p: p.views)
        part.specs += family
        part.views += _views(family)
    return [
        Lane(f"lane-{i}", tuple(part.specs), store_url, placement, part.workers)
        for i, part in enumerate(parts)
    ]


def families(specs: Sequence[Pretraining]) -> list[list[Pretraining]]:
    """Pre-trainings that one trunk or another ties together, each in the order given."""
    found: dict[str, list[Pretraining]] = {}
    trunked = {s.family for s in specs if isinstance(s, Trunk)}
    for spec in specs:
        own = spec if isinstance(spec, Trunk) else spec.trunk
        tied = own is not None and own.family in trunked
        found.setdefault(own.family if own and tied else spec.key, []).append(spec)
    return list(found.values())


@dataclass
class _Part:
    workers: Range
    specs: list[Pretraining]
    views: int


def _views(family: Sequence[Pretraining]) -> int:
    trunks = [s for s in family if isinstance(s, Trunk)]
    return sum(own_samples(s, trunks) * s.method.num_views for s in family)
