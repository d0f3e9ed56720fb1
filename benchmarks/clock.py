"""Seconds by stage, of a process from its start."""

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

STARTED = "RAYSTUDY_BENCHMARK_STARTED"
"""Of the environment: when this process was started, in seconds since 1970."""
START, REST = "Python and imports", "the rest"


class Clock:
    """Every moment belongs to one stage, of stages within each other to the inner one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.began: dict[str, float] = {}
        """Stage → when it was first entered."""
        self.stages = [START]
        self._since = float(os.environ.get(STARTED, time.time()))

    def started(self) -> None:
        """Whatever must be there before there is work, is there."""
        self._turn()
        self.stages = [REST]

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        self._turn()
        self.began.setdefault(stage, self._since)
        self.stages.append(stage)
        try:
            yield
        finally:
            self._turn()
            self.stages.pop()

    def stop(self) -> dict[str, float]:
        self._turn()
        return dict(self.seconds)

    def _turn(self) -> None:
        now = time.time()
        self.seconds[self.stages[-1]] += now - self._since
        self._since = now
