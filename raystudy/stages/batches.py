"""Parcels become pixels: read, decode, and hand on as uint8 in the order of ``order.py``."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raystudy.order import Parcel, step_rows, worker_chunks
from raystudy.sources.webdataset import BadImage, decode, read_images
from raystudy.spec import Pretraining
from raystudy.stages.index import Selection


@dataclass(frozen=True)
class Batch:
    """One worker's share of one global step: K' chunks of n examples each.

    ``images`` uint8 (K'·n, S, S, 3), ``labels`` (K'·n,), ``chunks`` the numbers of the K' chunks.
    """

    step: int
    chunks: list[int]
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    captions: list[str]
    waited_s: float = 0.0


def load(
    parcel: Parcel, spec: Pretraining, selection: Selection, num_workers: int
) -> dict[str, NDArray[Any] | list[str]]:
    """Everything a parcel holds, decoded: ``images`` (T, B', S, S, 3) uint8, ``labels`` (T, B'),
    ``captions`` of T·B' (empty unless the method reads them), for T steps of B' examples."""
    chunks = worker_chunks(spec.budget, num_workers, parcel.worker)
    steps = range(parcel.first_step, parcel.first_step + parcel.num_steps)
    rows_TxB = np.stack(
        [step_rows(spec.size, spec.budget, spec.seed, s)[chunks].reshape(-1) for s in steps]
    )
    rows = rows_TxB.reshape(-1)
    side = spec.architecture.preprocessing.image_size
    places = [
        (selection.shards[selection.shard[r]], int(selection.offset[r]), int(selection.size[r]))
        for r in rows
    ]
    images = np.empty((len(rows), side, side, 3), dtype=np.uint8)
    open_files: dict[Path, int] = {}
    try:
        for i, data in enumerate(read_images(places, open_files)):
            images[i] = _decode(data, side, selection, rows[i])
    finally:
        for descriptor in open_files.values():
            os.close(descriptor)
    return {
        "images": images.reshape(*rows_TxB.shape, side, side, 3),
        "labels": selection.labels[rows_TxB],
        "captions": [selection.captions[r] for r in rows] if "caption" in spec.method.reads else [],
    }


def unpack(
    parcel: Parcel, loaded: dict[str, Any], spec: Pretraining, num_workers: int, waited_s: float
) -> Iterator[Batch]:
    """The batches inside a loaded parcel, in the order of their steps."""
    chunks = list(worker_chunks(spec.budget, num_workers, parcel.worker))
    share = len(chunks) * spec.budget.chunk_size
    captions = list(loaded["captions"])
    for t in range(parcel.num_steps):
        yield Batch(
            step=parcel.first_step + t,
            chunks=chunks,
            images=loaded["images"][t],
            labels=loaded["labels"][t],
            captions=captions[t * share : (t + 1) * share] if captions else [""] * share,
            waited_s=waited_s if t == 0 else 0.0,
        )


def local_batches(spec: Pretraining, selection: Selection, first_step: int) -> Iterator[Batch]:
    """The stream of one worker, read in this process."""
    for step in range(first_step, spec.num_steps):
        started = time.perf_counter()
        parcel = Parcel(0, step, 1, 0)
        loaded = load(parcel, spec, selection, 1)
        yield from unpack(parcel, loaded, spec, 1, time.perf_counter() - started)


def _decode(data: bytes, side: int, selection: Selection, row: int) -> NDArray[np.uint8]:
    try:
        return decode(data, side)
    except BadImage as error:
        shard = selection.shards[selection.shard[row]]
        raise BadImage(f"{shard}: example {selection.ids[row]}: {error}") from error
