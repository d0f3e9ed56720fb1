"""A notice board: workers pin events to it, the driver takes them down."""

import ray

from raystudy.stages.event import Event


@ray.remote(num_cpus=0)
class Board:
    def __init__(self) -> None:
        self._events: list[Event] = []
        self._failed: set[str] = set()
        self._ended: set[str] = set()
        self._training = True

    def pin(self, event: Event) -> None:
        if event.kind == "failed":
            self._failed.add(event.key)
        if event.kind in ("done", "failed"):
            self._ended.add(event.key)
        self._events.append(event)

    def take(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def failed(self) -> set[str]:
        """The keys of all work that was ever pinned as failed."""
        return self._failed

    def ended(self) -> set[str]:
        """The keys of all work that was ever pinned as done or failed."""
        return self._ended

    def end_training(self) -> None:
        """Nothing pre-trains any more: what is not there by now will not come."""
        self._training = False

    def training(self) -> bool:
        return self._training
