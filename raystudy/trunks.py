"""Trunks: the beginnings that pre-trainings of several sizes share, each trained once.

With a warm-up–stable–decay schedule and one pass in the order of the source, a run over n examples
is a prefix of the run over 2n, up to where its learning rate begins to fall (cooldown branching,
Hägele et al. 2024, arXiv 2405.18392). Trained as one trunk with a branch for each size, every
result is bitwise what it would have been alone.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from raystudy.spec import Pretraining, Trunk


def shared_trunks(specs: Iterable[Pretraining]) -> list[Trunk]:
    """The trunks with which ``specs`` begin, where at least two of them share a beginning."""
    found = [t for s in specs if (t := s.trunk)]
    members = Counter(t.family for t in found)
    return list({t.key: t for t in found if members[t.family] > 1}.values())


def beginning(spec: Pretraining, trunks: Iterable[Trunk]) -> Trunk | None:
    """The longest of ``trunks`` with which ``spec`` begins, itself aside."""
    own = spec if isinstance(spec, Trunk) else spec.trunk
    if own is None:
        return None
    found = [
        t
        for t in trunks
        if t.key != spec.key and t.num_steps <= own.num_steps and t.family == own.family
    ]
    return max(found, key=lambda t: t.num_steps, default=None)


def own_samples(spec: Pretraining, trunks: Iterable[Trunk]) -> int:
    """What is left of a run's samples once its beginning is there."""
    trunk = beginning(spec, trunks)
    return spec.samples_seen - (trunk.samples_seen if trunk else 0)


def in_order(specs: Sequence[Pretraining]) -> list[Pretraining]:
    """Every trunk before what begins with it, families together, and those that take longest
    first: what starts last is what everyone waits for."""
    groups: dict[str, list[Pretraining]] = {}
    for spec in specs:
        own = spec if isinstance(spec, Trunk) else spec.trunk
        groups.setdefault(own.family if own else spec.key, []).append(spec)
    for group in groups.values():
        group.sort(key=lambda s: (s.num_steps, not isinstance(s, Trunk)))
    return [s for group in sorted(groups.values(), key=lambda g: -_views(g)) for s in group]


def _views(group: Sequence[Pretraining]) -> int:
    trunks = [s for s in group if isinstance(s, Trunk)]
    return sum(own_samples(s, trunks) * s.method.num_views for s in group)
