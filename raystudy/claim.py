"""Claims on pieces of work, so that two drivers of one store do not do the same one twice.

On a local disk a claim is a lock that the operating system drops with its holder, however that
ends. On an object store it is a file that its holder writes anew every few seconds: one that has
not changed for a while belongs to nobody.
"""

import logging
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from raystudy.store import Store

log = logging.getLogger(__name__)

ROOM = "claims"
POLL_S = 0.5
BEAT_S = 5.0
PATIENCE_S = 30.0
"""Without a beat, after which a holder counts as gone."""


@contextmanager
def claimed(store: Store, key: str) -> Iterator[None]:
    """Hold the claim on ``key``; waits while another process has it."""
    with _locked(store, key) if store.is_local else _kept_alive(store, key):
        yield


@contextmanager
def _locked(store: Store, key: str) -> Iterator[None]:
    path = Path(store.path(ROOM, key))
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("another driver works on %s: waiting for it", key)
        lock.acquire()
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


@contextmanager
def _kept_alive(store: Store, key: str) -> Iterator[None]:
    own = uuid.uuid4().hex
    _take(store, key, own)
    ended = threading.Event()

    def beat() -> None:
        count = 0
        while not ended.wait(BEAT_S):
            count += 1
            store.write(f"{own} {count}".encode(), ROOM, key)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        store.remove(ROOM, key)


def _take(store: Store, key: str, own: str) -> None:
    """Clocks of other machines are not trusted: what counts is whether the file changes."""
    seen, since = None, time.monotonic()
    while True:
        held = store.read(ROOM, key)
        if held != seen:
            seen, since = held, time.monotonic()
        if held is None or time.monotonic() - since > PATIENCE_S:
            store.write(own.encode(), ROOM, key)
            time.sleep(POLL_S)  # whoever wrote last has it
            if (store.read(ROOM, key) or b"").decode().startswith(own):
                return
            continue
        time.sleep(POLL_S)
