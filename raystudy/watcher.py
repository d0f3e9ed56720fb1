"""Whoever shows the progress of a run."""

from typing import Protocol


class Watcher(Protocol):
    """Whoever shows the progress of a run; the CLI's table, or nothing."""

    def begin(self, stage: str, total: int, unit: str) -> None: ...

    def advance(self, stage: str, amount: float = 1.0) -> None: ...

    def error(self, what: str, message: str) -> None: ...

    def refresh(self) -> None: ...
