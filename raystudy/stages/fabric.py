"""The seam: the only thing a stage knows of where it runs.

``cluster/`` supplies a fabric from Ray; ``LocalFabric`` is one process and a store, for tests and
for ``raystudy run --in-process`` under a debugger.
"""

import io
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from raystudy.store import Store

MAX_BAD_RATE = 0.1
Report = Callable[[str, int, Mapping[str, float]], None]
"""(key of the pre-training, step, metrics)."""


class Fabric(ABC):
    """One worker's view of the group that trains one pre-training."""

    def __init__(
        self, store: Store, key: str, checkpoint_interval_s: float, max_bad_rate: float
    ) -> None:
        self.store = store
        self.key = key
        self.max_bad_rate = max_bad_rate
        """Share of examples that may turn out to be damaged before a run is stopped."""
        self._interval_s = checkpoint_interval_s
        self._saved_at = time.monotonic()

    @property
    @abstractmethod
    def rank(self) -> int: ...

    @property
    @abstractmethod
    def num_workers(self) -> int: ...

    @property
    @abstractmethod
    def device(self) -> torch.device: ...

    @abstractmethod
    def wrap(self, objective: nn.Module) -> nn.Module:
        """The objective with its gradients averaged over workers."""

    @abstractmethod
    def mean(self, metrics: Mapping[str, Tensor]) -> dict[str, float]:
        """Metrics averaged over workers; every worker must call it at the same step."""

    @abstractmethod
    def report(self, step: int, metrics: Mapping[str, float]) -> None:
        """Tell whoever watches. Only rank 0's word counts."""

    def checkpoint_is_due(self) -> bool:
        return self.rank == 0 and time.monotonic() - self._saved_at > self._interval_s

    def save(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint, whole or not at all."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        self.store.write(buffer.getvalue(), "checkpoints", f"{self.key}.pt")
        self._saved_at = time.monotonic()

    def restore(self) -> dict[str, Any] | None:
        """The last checkpoint, or None."""
        return _read_checkpoint(self.store, self.key, self.device)


def checkpoint_step(store: Store, key: str) -> int:
    """The step at which a pre-training will resume: where its stream must begin."""
    state = _read_checkpoint(store, key, torch.device("cpu"))
    return int(state["step"]) if state else 0


def _read_checkpoint(store: Store, key: str, device: torch.device) -> dict[str, Any] | None:
    data = store.read("checkpoints", f"{key}.pt")
    if data is None:
        return None
    return torch.load(io.BytesIO(data), map_location=device, weights_only=True)


class LocalFabric(Fabric):
    """One worker in this process."""

    def __init__(
        self,
        store: Store,
        key: str,
        report: Report,
        checkpoint_interval_s: float = 30.0,
        max_bad_rate: float = MAX_BAD_RATE,
    ) -> None:
        super().__init__(store, key, checkpoint_interval_s, max_bad_rate)
        self._report = report

    @property
    def rank(self) -> int:
        return 0

    @property
    def num_workers(self) -> int:
        return 1

    @property
    def device(self) -> torch.device:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def wrap(self, objective: nn.Module) -> nn.Module:
        return objective.to(self.device)

    def mean(self, metrics: Mapping[str, Tensor]) -> dict[str, float]:
        return {name: float(value) for name, value in metrics.items()}

    def report(self, step: int, metrics: Mapping[str, float]) -> None:
        self._report(self.key, step, metrics)
