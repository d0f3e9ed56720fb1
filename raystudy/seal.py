"""The seal on test splits: who may open one, and when.

``Task.sealed`` hands out a test split only inside ``opened()``, which ``stages/evaluate.py`` enters
once every adaptation of a unit has returned. While an adaptation runs, the whole process is
``locked``: nothing can be opened from any of its threads, whatever it imports. What the lock cannot
know is a file that an adaptation opens by itself; none is told where one lies.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_open: ContextVar[bool] = ContextVar("_open", default=False)
_free = threading.Semaphore(1)
"""Free while no adaptation runs."""


class SealError(PermissionError):
    """Somebody asked for a test split who must not see it."""


def require_open(name: str) -> None:
    """Raises SealError unless the test split of ``name`` may be read here and now."""
    if not _open.get():
        raise SealError(
            f"the test split of {name} is under seal: adapt with train() and validation(); "
            "raystudy.stages.evaluate scores what comes of it"
        )


@contextmanager
def opened() -> Iterator[None]:
    """Test splits may be read. Raises SealError while an adaptation runs in this process."""
    if not _free.acquire(blocking=False):
        raise SealError("an adaptation is running: no test split is opened before it has returned")
    token = _open.set(True)
    try:
        yield
    finally:
        _open.reset(token)
        _free.release()


@contextmanager
def locked() -> Iterator[None]:
    """An adaptation runs: no test split can be opened until it has returned."""
    if not _free.acquire(blocking=False):
        raise SealError("a test split is open: no adaptation starts before it is closed")
    token = _open.set(False)
    try:
        yield
    finally:
        _open.reset(token)
        _free.release()
