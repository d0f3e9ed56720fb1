"""Checkpoints: ``checkpoints/<key>/<step>.pt`` in the store, each whole or not there.

They are written beside the training, one at a time. The last two are kept, so that one that a
failing store damaged does not cost the run.
"""

import io
import logging
import threading
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from raystudy.store import Store

log = logging.getLogger(__name__)

ROOM = "checkpoints"
NUM_KEPT = 2


class CheckpointWriter:
    """Writes the states of one pre-training in a thread of its own."""

    def __init__(self, store: Store, key: str) -> None:
        self._store, self._key = store, key
        self._thread: threading.Thread | None = None
        self.error: Exception | None = None
        """Why the last one could not be written; those before it are still there."""

    def save(self, state: Mapping[str, Any]) -> None:
        """Returns once ``state`` is copied; waits for the one before, if it is still at it."""
        self.flush()
        copy = _on_cpu(state)
        self._thread = threading.Thread(target=self._write, args=(copy,), daemon=True)
        self._thread.start()

    def flush(self) -> None:
        """Return once everything saved so far is in the store, or has failed."""
        if self._thread:
            self._thread.join()
            self._thread = None

    def _write(self, state: dict[str, Any]) -> None:
        try:
            buffer = io.BytesIO()
            torch.save(state, buffer)
            name = f"{state['step']:012d}.pt"
            self._store.write(buffer.getbuffer(), ROOM, self._key, name)
            self.error = None
            for old in _names(self._store, self._key)[:-NUM_KEPT]:
                self._store.remove(ROOM, self._key, old)
        except Exception as error:  # whatever a store may raise; the training is told
            self.error = error


def last_step(store: Store, key: str) -> int:
    """The step of the last checkpoint, 0 if there is none."""
    names = _names(store, key)
    return int(names[-1].partition(".")[0]) if names else 0


def last_state(store: Store, key: str) -> dict[str, Any] | None:
    """The last checkpoint, on the CPU, or None. Raises RuntimeError, and removes it, if it is
    damaged: whoever tries again goes on from the one before."""
    names = _names(store, key)
    if not names:
        return None
    data = store.read(ROOM, key, names[-1])
    try:
        return torch.load(io.BytesIO(data or b""), map_location="cpu", weights_only=True)
    except Exception as error:
        store.remove(ROOM, key, names[-1])
        raise RuntimeError(f"checkpoint {names[-1]} of {key} was damaged: {error}") from error


def remove(store: Store, key: str) -> None:
    store.remove(ROOM, key)


def _names(store: Store, key: str) -> list[str]:
    return [name for name in store.names(ROOM, key) if name.endswith(".pt")]


def _on_cpu(value: Any) -> Any:
    """A copy that training does not touch."""
    match value:
        case Tensor():
            return value.detach().to("cpu", copy=True)
        case dict():
            return {k: _on_cpu(v) for k, v in value.items()}
        case list() | tuple():
            return type(value)(_on_cpu(v) for v in value)
        case _:
            return value
