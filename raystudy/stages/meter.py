"""What a pre-training costs, and how it goes from one interval to the next."""

import resource
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from raystudy.spec import Pretraining
from raystudy.stages.batches import Batch

NUM_INTERVALS = 25
MAX_INTERVAL_STEPS = 100


class Interval:
    """The steps between two points of a curve."""

    def __init__(self, spec: Pretraining) -> None:
        self._batch_size = spec.budget.batch_size
        self._last = spec.num_steps
        self._every = max(1, min(MAX_INTERVAL_STEPS, spec.num_steps // NUM_INTERVALS))
        self._num_bad, self._num_seen = 0, 0
        self._begin()

    def note(self, batch: Batch) -> None:
        self._steps += 1
        self._waited_s += batch.waited_s
        self._num_bad += batch.num_bad
        self._num_seen += len(batch.labels)

    def ends_at(self, step: int) -> bool:
        return step % self._every == 0 or step == self._last

    def shares(self) -> dict[str, Tensor]:
        """This worker's: of all examples so far those that were damaged, and of the interval's time
        that which was spent waiting for data."""
        elapsed = time.perf_counter() - self._since
        return {
            "bad_rate": torch.tensor(self._num_bad / self._num_seen),
            "data_wait_share": torch.tensor(min(1.0, self._waited_s / elapsed)),
        }

    def point(self, step: int, rate: float, means: Mapping[str, float]) -> dict[str, float]:
        """What is logged of the interval that ends now; the next one begins."""
        elapsed = time.perf_counter() - self._since
        point = dict(means) | {
            "learning_rate": rate,
            "samples_seen": float(step * self._batch_size),
            "samples_per_s": self._steps * self._batch_size / elapsed,
        }
        self._begin()
        return point

    def _begin(self) -> None:
        self._steps, self._waited_s, self._since = 0, 0.0, time.perf_counter()


class Meter:
    """Time, memory and energy that one worker spends on one pre-training."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._started = time.perf_counter()
        self._energy_j = _energy_j(device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._started

    def facts(self, num_workers: int, num_samples: int, spent_s: float) -> dict[str, Any]:
        """``num_samples`` trained on in ``spent_s`` seconds, interruptions aside. Energy is of this
        worker's device since the last interruption, None where the device does not tell."""
        energy_j = _energy_j(self._device)
        used = energy_j - self._energy_j if energy_j and self._energy_j else None
        return {
            "spent_s": round(spent_s, 3),
            "num_workers": num_workers,
            "device": _device_name(self._device),
            "device_hours": spent_s * num_workers / 3600,
            "samples_per_s": num_samples / spent_s,
            "peak_memory_bytes": _peak_memory_bytes(self._device),
            "energy_j": used,
        }


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _peak_memory_bytes(device: torch.device) -> int:
    """Of tensors on a GPU; of the whole process, since it began, elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _energy_j(device: torch.device) -> float | None:
    """Joules since the driver was loaded, by NVML."""
    if device.type == "cuda":
        with suppress(Exception):  # the library is optional, and so is the counter in the device
            import pynvml  # pyright: ignore[reportMissingImports]

            pynvml.nvmlInit()
            uuid = torch.cuda.get_device_properties(device).uuid
            handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
            return pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000
    return None
