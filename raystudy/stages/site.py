"""Where a study runs: what the driver asks of a site, and the site that is this process.

A site turns work into a stream of events. The driver (``run.py``) only reads them, so it neither
knows nor cares whether a cluster or a loop stands behind.
"""

import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence

from raystudy.kinds import Rendered
from raystudy.spec import Pretraining, Trunk
from raystudy.stages.adapt import Unit, adapt
from raystudy.stages.batches import local_batches
from raystudy.stages.event import Event
from raystudy.stages.fabric import MAX_BAD_RATE, LocalFabric
from raystudy.stages.index import check_faults, index
from raystudy.stages.pretrain import pretrain
from raystudy.stages.select import select
from raystudy.store import Store

log = logging.getLogger(__name__)


class Site(ABC):
    """A place that can do each stage's work. A failing piece is an event; the rest goes on."""

    @abstractmethod
    def check(self, specs: Sequence[Pretraining]) -> None:
        """Raise ValueError for what can never be placed here."""

    @abstractmethod
    def index(self, sources: Sequence[Rendered]) -> Iterator[Event]: ...

    @abstractmethod
    def compute(self, specs: Sequence[Pretraining], units: Sequence[Unit]) -> Iterator[Event]:
        """Pre-train and adapt. ``specs`` are started in the order given, in which a trunk comes
        before what begins with it; a unit is started as soon as its backbone is there, and not at
        all where that has failed. What is done already is skipped without a word."""


class InProcess(Site):
    """One thing after the other in this process: for tests and for a debugger."""

    def __init__(
        self,
        store: Store,
        checkpoint_interval_s: float = 30.0,
        max_bad_rate: float = MAX_BAD_RATE,
    ) -> None:
        self.store = store
        self.max_bad_rate = max_bad_rate
        self.checkpoint_interval_s = checkpoint_interval_s

    def check(self, specs: Sequence[Pretraining]) -> None:
        """One process can do anything, in time."""

    def index(self, sources: Sequence[Rendered]) -> Iterator[Event]:
        for source in sources:
            yield from _attempt(source.key, lambda source=source: index(source, self.store))

    def compute(self, specs: Sequence[Pretraining], units: Sequence[Unit]) -> Iterator[Event]:
        waiting: dict[str, list[Unit]] = {}
        for unit in units:
            waiting.setdefault(unit.backbone.key, []).append(unit)
        trunks = [s for s in specs if isinstance(s, Trunk)]
        for spec in specs:
            own = waiting.pop(spec.key, [])
            for event in self._pretrain(spec, trunks):
                yield event
                if event.kind == "failed":
                    own = []
            yield from self._adapt(own)
        for own in waiting.values():
            yield from self._adapt(own)

    def _pretrain(self, spec: Pretraining, trunks: Sequence[Trunk]) -> Iterator[Event]:
        if self.store.done(spec.room, spec.key):
            return
        told: deque[Event] = deque()

        def work() -> None:
            check_faults(spec.source, self.store, self.max_bad_rate)
            selection = select(spec, self.store)
            fabric = LocalFabric(
                self.store,
                spec.key,
                lambda key, step, metrics: told.append(Event("progress", key, step, metrics)),
                self.checkpoint_interval_s,
                self.max_bad_rate,
            )
            pretrain(
                spec,
                selection,
                lambda first: local_batches(spec, selection, self.store, first),
                fabric,
                [t for t in trunks if self.store.done(t.room, t.key)],
            )

        end = list(_attempt(spec.key, work))
        yield from told
        yield from end

    def _adapt(self, units: Sequence[Unit]) -> Iterator[Event]:
        for unit in units:
            yield from _attempt(unit.key, lambda unit=unit: adapt(unit, self.store))


def _attempt(key: str, work) -> Iterator[Event]:
    try:
        work()
    except Exception as error:
        log.debug("%s failed", key, exc_info=True)
        yield Event("failed", key, error=f"{type(error).__name__}: {error}")
    else:
        yield Event("done", key)
