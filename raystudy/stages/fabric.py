"""The seam: the only thing a stage knows of where it runs.

``cluster/`` supplies a fabric from Ray, ``group.py`` one from torch's processes; ``LocalFabric`` is
one process and a store, for tests and for ``raystudy run --in-process`` under a debugger.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from raystudy.stages.checkpoints import CheckpointWriter
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
        self._writer = CheckpointWriter(store, key)

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
        """The objective with its gradients averaged, and its batch norms taken, over workers."""

    @abstractmethod
    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """What ``wrap`` does by itself, for an objective that was called without its wrapping."""

    @abstractmethod
    def mean(self, metrics: Mapping[str, Tensor]) -> dict[str, float]:
        """Metrics averaged over workers; every worker must call it at the same step."""

    @abstractmethod
    def report(self, step: int, metrics: Mapping[str, float]) -> None:
        """Tell whoever watches. Only rank 0's word counts."""

    def state(self, objective: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
        """The whole state of both, wherever its parts lie. Every worker must call it that is told
        that a checkpoint is due."""
        return {"objective": objective.state_dict(), "optimiser": optimiser.state_dict()}

    def load(
        self, objective: nn.Module, optimiser: torch.optim.Optimizer, state: Mapping[str, Any]
    ) -> None:
        """Put a ``state`` back, however many workers it was written by."""
        objective.load_state_dict(state["objective"])
        optimiser.load_state_dict(state["optimiser"])

    def checkpoint_is_due(self) -> bool:
        """Whether this worker must take part in a checkpoint now."""
        return self.rank == 0 and time.monotonic() - self._saved_at > self._interval_s

    def save(self, state: Mapping[str, Any]) -> None:
        """Write a checkpoint beside the training, whole or not at all; only rank 0 does."""
        if self.rank == 0:
            self._writer.save(state)
        self._saved_at = time.monotonic()

    def flush(self) -> None:
        """Return once every checkpoint is in the store, or has failed."""
        self._writer.flush()

    @property
    def store_error(self) -> Exception | None:
        """Why this worker's last checkpoint could not be written."""
        return self._writer.error


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

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        pass

    def mean(self, metrics: Mapping[str, Tensor]) -> dict[str, float]:
        return {name: float(value) for name, value in metrics.items()}

    def report(self, step: int, metrics: Mapping[str, float]) -> None:
        self._report(self.key, step, metrics)
