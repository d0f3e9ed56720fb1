"""Evaluate: the only room that opens a task's test split.

Every adaptation has returned by the time this module is called, and what it returned can only map
inputs to logits. A test of the architecture keeps ``Task.sealed`` out of every other module.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
from safetensors.numpy import load_file, save_file

from raystudy.kinds import Adapted, Examples, Floats, Metric, Task
from raystudy.metrics.accuracy import Accuracy
from raystudy.metrics.nll import NegativeLogLikelihood
from raystudy.spec import Cell
from raystudy.stages.extract import Features, StoredEncoder, extract
from raystudy.store import Store

METRICS: tuple[Metric, ...] = (Accuracy(), NegativeLogLikelihood())
PREDICTIONS = pl.Schema(
    {
        "cell": pl.String,
        "split": pl.String,
        "id": pl.String,
        "label": pl.Int64,
        "logits": pl.List(pl.Float32),
    }
)


@dataclass(frozen=True)
class Fitted:
    """A cell with what its adaptation returned: None if the backbone cannot do it."""

    cell: Cell
    adapted: Adapted | None
    num_train: int
    seconds: float


def evaluate(
    fitted: Sequence[Fitted], validation: Examples, encoder: StoredEncoder, store: Store
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Records (``ledger.SCHEMA``) and predictions of fitted cells of one backbone and task, on
    validation, on the test split and on each of its shifts."""
    backbone = fitted[0].cell.backbone
    splits = {"validation": validation} | _open(fitted[0].cell, encoder, store)
    trained = store.done("pretrainings", backbone.key)
    facts = {
        "backbone": backbone.key,
        "realised_noise": store.provenance("pretrainings", backbone.key)["realised_noise"]
        if trained
        else 0.0,
    }
    records: list[dict[str, Any]] = []
    predictions = [pl.DataFrame(schema=PREDICTIONS)]
    for f in fitted:
        started = time.perf_counter()
        logits = {s: f.adapted.predict(e.inputs) for s, e in splits.items()} if f.adapted else {}
        axes = (
            f.cell.axes()
            | facts
            | {
                "cell": f.cell.key,
                "num_train": f.num_train,
                "chosen": json.dumps(dict(f.adapted.chosen) if f.adapted else {}),
                "num_tried": f.adapted.num_tried if f.adapted else 0,
                "seconds": f.seconds + time.perf_counter() - started,
            }
        )
        if not logits:  # that it cannot be done is a result too, and is not tried again
            records.append(axes | {"split": "none", "metric": "unsupported", "value": 1.0})
        for split, scores in logits.items():
            examples = splits[split]
            for metric in METRICS:
                value = metric.compute(scores, examples.labels)
                records.append(axes | {"split": split, "metric": metric.name, "value": value})
            predictions.append(_predictions(f.cell, split, examples, scores))
    return pl.DataFrame(records), pl.concat(predictions)


def _open(cell: Cell, encoder: StoredEncoder, store: Store) -> dict[str, Examples]:
    opened = _test_images(cell.task)  # pyright: ignore[reportArgumentType]
    if cell.adaptation.inputs == "images":
        return opened
    spec = Features(backbone=cell.backbone, task=cell.task)
    if not store.done("sealed", spec.key):
        with store.writing("sealed", spec) as (folder, _):
            arrays = {split: extract(encoder, e).inputs for split, e in opened.items()}
            save_file(arrays, folder / "features.safetensors")
    arrays = load_file(store.local("sealed", spec.key) / "features.safetensors")
    return {s: Examples(e.ids, arrays[s], e.labels) for s, e in opened.items()}


@lru_cache(maxsize=1)
def _test_images(task: Task) -> dict[str, Examples]:
    opened = {"test": task.sealed()}
    return opened | {f"test-{shift}": task.sealed(shift) for shift in task.shifts}


def _predictions(cell: Cell, split: str, examples: Examples, logits: Floats) -> pl.DataFrame:
    columns = {
        "cell": [cell.key] * len(examples),
        "split": [split] * len(examples),
        "id": list(examples.ids),
        "label": examples.labels,
        "logits": list(logits.astype(np.float32)),
    }
    return pl.DataFrame(columns, schema=PREDICTIONS)
