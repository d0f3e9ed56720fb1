"""One driver of a study in a store at a time."""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from raystudy.public import public
from raystudy.spec import Study
from raystudy.store import Store


class BusyError(RuntimeError):
    """Another driver works on this study in this store."""


@contextmanager
def sole_driver(study: Study, store: Store) -> Iterator[None]:
    """Raises BusyError. The operating system drops this lock with its holder, however that ends; a
    store without locks has none: there ``raystudy submit`` starts no study twice."""
    if not store.is_local:
        yield
        return
    folder = Path(store.root) / "drivers"
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / f"{study.name}.json"
    lock = FileLock(note.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        holder = note.read_text() if note.exists() else ""
        raise BusyError(
            f"another driver is running study '{study.name}' in {public(store.url)} {holder}; "
            "wait for it, or give --store another folder"
        ) from None
    try:
        note.write_text(json.dumps({"pid": os.getpid(), "host": platform.node()}))
        yield
    finally:
        lock.release()
