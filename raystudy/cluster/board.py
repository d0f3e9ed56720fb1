"""A notice board: workers pin events to it, the driver takes them down."""

import ray

from raystudy.stages.event import Event


@ray.remote(num_cpus=0)
class Board:
    def __init__(self) -> None:
        self._events: list[Event] = []

    def pin(self, event: Event) -> None:
        self._events.append(event)

    def take(self) -> list[Event]:
        events, self._events = self._events, []
        return events
