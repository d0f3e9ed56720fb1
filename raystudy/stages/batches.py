"""Parcels become arrays: read, decode, and hand on pixels or tokens in the order of ``order.py``.

Shapes: T steps of a parcel, V views, B examples of one worker in one step; ``…`` is the shape of an
example (``Network.example_shape``): S × S × 3 pixels, or the tokens of a context.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raystudy.crops import random_regions
from raystudy.kinds import Network
from raystudy.order import Parcel, step_rows, worker_chunks
from raystudy.randomness import generator
from raystudy.shards.image import Region
from raystudy.shards.read import Reader
from raystudy.shards.table import Fault
from raystudy.spec import Pretraining
from raystudy.stages.select import Selection
from raystudy.store import Store

MAX_SUBSTITUTES = 64


@dataclass(frozen=True)
class Batch:
    """One worker's share of one global step: K' chunks of n examples each.

    ``inputs`` (V, K'·n, …), where V is 1 unless the loader draws the views' regions;
    ``labels`` (K'·n,), ``chunks`` the numbers of the K' chunks.
    """

    step: int
    chunks: list[int]
    inputs: NDArray[Any]
    labels: NDArray[np.int64]
    captions: list[str]
    num_bad: int = 0
    waited_s: float = 0.0


@dataclass(frozen=True)
class Loaded:
    """Everything a parcel holds, decoded."""

    inputs: NDArray[Any]
    """(T, V, B, …), uint8 pixels or uint16 tokens."""
    labels: NDArray[np.int64]
    """(T, B)."""
    captions: list[str]
    """Of T·B examples; empty unless the method reads them."""
    faults: dict[str, Fault] = field(default_factory=dict)
    """Id of an example that could not be shown → why; the next good one was shown in its place."""


def load(
    parcel: Parcel, spec: Pretraining, selection: Selection, num_workers: int, reader: Reader
) -> Loaded:
    """Read and decode a parcel. Never raises for a bad example: the next one of the selection that
    can be read stands in for it, for every worker count and on every pass the same one. Raises
    RuntimeError where none can."""
    chunks = worker_chunks(spec.budget, num_workers, parcel.worker)
    steps = range(parcel.first_step, parcel.first_step + parcel.num_steps)
    on_disk = selection.on_disk if spec.budget.run_length > 1 else None
    rows_TxB = np.stack(
        [
            step_rows(spec.size, spec.budget, spec.seed, step, on_disk)[chunks].reshape(-1)
            for step in steps
        ]
    )
    rows = rows_TxB.reshape(-1)
    T, B = rows_TxB.shape
    V = spec.method.num_views if spec.augmentation.random_crop else 1
    network = spec.architecture
    regions = _regions(spec, selection, rows_TxB, steps, chunks, V)
    inputs = np.empty((T, V, B, *network.example_shape), network.example_dtype)
    faults: dict[str, Fault] = {}
    found = reader.read(_places(selection, rows))
    for i, (row, data) in enumerate(zip(rows, found, strict=True)):
        t, b = divmod(i, B)
        of_example = regions[t, :, b] if regions is not None else None
        fault = _show(data, network, inputs[t, :, b], of_example)
        if fault:
            faults[selection.table["id"][int(row)].as_py()] = fault
            rows[i] = _substitute(int(row), selection, spec, reader, inputs[t, :, b])
    return Loaded(
        inputs=inputs,
        labels=selection.labels[rows_TxB],
        captions=selection.captions(rows) if "caption" in spec.method.reads else [],
        faults=faults,
    )


def unpack(
    parcel: Parcel, loaded: Loaded, spec: Pretraining, num_workers: int, waited_s: float
) -> Iterator[Batch]:
    """The batches inside a loaded parcel, in the order of their steps."""
    chunks = list(worker_chunks(spec.budget, num_workers, parcel.worker))
    share = len(chunks) * spec.budget.chunk_size
    for t in range(parcel.num_steps):
        captions = loaded.captions[t * share : (t + 1) * share]
        yield Batch(
            step=parcel.first_step + t,
            chunks=chunks,
            inputs=loaded.inputs[t],
            labels=loaded.labels[t],
            captions=captions or [""] * share,
            num_bad=len(loaded.faults) if t == 0 else 0,
            waited_s=waited_s if t == 0 else 0.0,
        )


def local_batches(
    spec: Pretraining, selection: Selection, store: Store, first_step: int
) -> Iterator[Batch]:
    """The stream of one worker, read in this process."""
    with Reader() as reader:
        for step in range(first_step, spec.num_steps):
            started = time.perf_counter()
            parcel = Parcel(0, step, 1, 0)
            loaded = load(parcel, spec, selection, 1, reader)
            note_faults(store, spec, parcel, loaded)
            yield from unpack(parcel, loaded, spec, 1, time.perf_counter() - started)


def note_faults(store: Store, spec: Pretraining, parcel: Parcel, loaded: Loaded) -> None:
    """Write down what a parcel had to leave out. A parcel that is read again writes the same, so
    that nothing is counted twice, whatever was killed in between."""
    if loaded.faults:
        name = f"{parcel.first_step:09d}-{parcel.worker}.json"
        store.write(json.dumps(loaded.faults).encode(), "faults", spec.key, name)


def noted_faults(store: Store, spec: Pretraining) -> dict[str, str]:
    """Id → reason, of every example that a pre-training had to leave out so far."""
    noted: dict[str, str] = {}
    for name in store.names("faults", spec.key):
        noted |= json.loads(store.read("faults", spec.key, name) or b"{}")
    return dict(sorted(noted.items()))


def by_reason(noted: dict[str, str]) -> dict[str, int]:
    return dict(Counter(noted.values()).most_common())


def _places(selection: Selection, rows: NDArray[np.int64]) -> list[tuple[str, int, int]]:
    files = selection.files
    return [
        (files[file], offset, size)
        for file, offset, size in zip(
            selection.file[rows].tolist(),
            selection.column("offset")[rows].tolist(),
            selection.column("size")[rows].tolist(),
            strict=True,
        )
    ]


def _regions(
    spec: Pretraining,
    selection: Selection,
    rows_TxB: NDArray[np.int64],
    steps: range,
    chunks: range,
    num_views: int,
) -> NDArray[np.int64] | None:
    """(T, V, B, 4): left, top, width, height; None if views show the whole middle. Each chunk draws
    from a generator of its own, so regions do not depend on which worker it goes to."""
    area = spec.augmentation.random_crop
    if area is None:
        return None
    widths, heights = selection.column("width"), selection.column("height")
    parts = [
        random_regions(
            widths[chunk_rows],
            heights[chunk_rows],
            area,
            generator(spec.seed, "crop", step, chunk, view),
        )
        for step, rows_B in zip(steps, rows_TxB, strict=True)
        for view in range(num_views)
        for chunk, chunk_rows in zip(chunks, rows_B.reshape(len(chunks), -1), strict=True)
    ]
    return np.concatenate(parts).reshape(len(steps), num_views, -1, 4)


def _show(
    data: bytes | Fault,
    network: Network,
    views: NDArray[Any],
    regions_Vx4: NDArray[np.int64] | None,
) -> Fault | None:
    """Decode one example's ``views`` (V, …) into place, or say why not."""
    if isinstance(data, Fault):
        return data
    for view, out in enumerate(views):
        region = None if regions_Vx4 is None else Region(*regions_Vx4[view].tolist())
        if fault := network.decode(data, out, region):
            return fault
    return None


def _substitute(
    row: int, selection: Selection, spec: Pretraining, reader: Reader, views: NDArray[Any]
) -> int:
    """Show the next example after ``row`` that can be shown, in the middle; return its row."""
    fault = None
    for step in range(1, min(MAX_SUBSTITUTES, spec.size)):
        other = (row + step) % spec.size
        (data,) = reader.read(_places(selection, np.array([other])))
        if (fault := _show(data, spec.architecture, views, None)) is None:
            return other
    raise RuntimeError(
        f"{MAX_SUBSTITUTES} examples in a row cannot be read, the first in "
        f"{selection.files[selection.file[row]]} ({fault}); is the store that holds them there?"
    )
