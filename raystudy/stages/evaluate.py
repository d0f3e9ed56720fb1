"""Evaluate: the only room that opens a task's test split.

Every adaptation has returned by the time this module is called, and what it returned can only map
inputs to logits. ``raystudy.seal`` keeps the split closed to whoever comes another way.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import polars as pl

from raystudy import seal
from raystudy.kinds import Adaptation, Adapted, Examples, Floats, Metric, Scored, Task
from raystudy.ledger import PREDICTIONS
from raystudy.metrics.accuracy import Accuracy
from raystudy.metrics.mean_per_class import MeanPerClass
from raystudy.metrics.nll import NegativeLogLikelihood
from raystudy.metrics.token_loss import TokenLoss
from raystudy.spec import Cell
from raystudy.stages.extract import StoredEncoder, features, whole
from raystudy.store import Store

METRICS: dict[str, tuple[Metric, ...]] = {
    "accuracy": (Accuracy(), NegativeLogLikelihood()),
    "mean-per-class": (Accuracy(), NegativeLogLikelihood(), MeanPerClass()),
    "token-loss": (TokenLoss(),),
}
"""By ``Task.metric``."""


@dataclass(frozen=True)
class Fitted:
    """A cell with what its adaptation returned: None if the backbone cannot do it."""

    cell: Cell
    adapted: Adapted | None
    num_train: int
    validation: Examples
    """All that the task has, as the adaptation reads them."""
    seconds: float


def evaluate(
    fitted: Sequence[Fitted], encoder: StoredEncoder, store: Store
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Records (``ledger.SCHEMA``) and predictions of fitted cells of one backbone and task, on
    validation, on the test split and on each of its shifts; and what each of them cost."""
    backbone, task = fitted[0].cell.backbone, fitted[0].cell.task
    layers = list({f.cell.adaptation.taps: None for f in fitted})
    of_features = fitted[0].cell.adaptation.inputs == "features"
    tests = _open(task, layers if of_features else None, encoder, store)
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
        splits = {"validation": f.validation} | tests[f.cell.adaptation.taps]
        logits = _logits(f.adapted, task, splits) if f.adapted else {}
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
        scored = {s: Scored(scores, splits[s].labels) for s, scores in logits.items()}
        for split, scores in logits.items():
            for metric in METRICS[task.metric]:
                value = metric.judge(split, scored)
                if value is not None:
                    records.append(axes | {"split": split, "metric": metric.name, "value": value})
            predictions.append(_predictions(f.cell, split, splits[split], scores))
        for name, value in f.adapted.cost.items() if f.adapted else ():
            records.append(axes | {"split": "cost", "metric": name, "value": value})
    return pl.DataFrame(records), pl.concat(predictions)


def chosen_on_test(
    task: Task, adaptation: Adaptation, cells: Sequence[Cell], encoder: StoredEncoder, store: Store
) -> Examples:
    """The test split in place of validation examples, for cells that say so themselves: their names
    carry it into every table. Raises SealError for any other."""
    if any(cell.selection != "test" for cell in cells):
        raise seal.SealError(f"{task.name}: hyper-parameters are not chosen on the test split")
    layers = [adaptation.taps] if adaptation.inputs == "features" else None
    return _open(task, layers, encoder, store)[adaptation.taps]["test"]


def _open(
    task: Task, layers: Sequence[int | None] | None, encoder: StoredEncoder, store: Store
) -> dict[int | None, dict[str, Examples]]:
    """Layer → split → examples; as they are read where there are no layers, under None."""
    with seal.opened():
        parts = _parts(task)
        splits = {"test": partial(_test, task, None)} | {
            name: partial(_test, task, shift)
            for shift in task.shifts
            if (name := f"test-{shift}") not in parts
        }
        found: dict[int | None, dict[str, Examples]]
        if layers is not None:
            found = features(encoder, splits, layers, "sealed", task, store)
        else:
            found = {None: {name: whole(split(), encoder) for name, split in splits.items()}}
    for of_layer in found.values():
        of_layer |= {name: of_layer["test"].take(rows) for name, rows in parts.items()}
    return found


def _parts(task: Task) -> dict[str, np.ndarray]:
    """The splits that are parts of the test split, and their rows of it."""
    rows = {f"test-{shift}": task.part(shift) for shift in task.shifts}
    return {split: of for split, of in rows.items() if of is not None}


def _test(task: Task, shift: str | None) -> Examples:
    seal.require_open(task.name)
    return _kept(task, shift)  # pyright: ignore[reportArgumentType]


@lru_cache(maxsize=8)
def _kept(task: Task, shift: str | None) -> Examples:
    """Shifts are made once a process, for every backbone is tested on them."""
    return task.sealed(shift)


def _logits(adapted: Adapted, task: Task, splits: Mapping[str, Examples]) -> dict[str, Floats]:
    """Of each split, for its own classes: where several of the task's stand for one of them, their
    highest."""
    other_classes = {f"test-{shift}": task.classes_of(shift) for shift in task.shifts}
    parts = _parts(task)
    found: dict[str, Floats] = {}
    for split, examples in splits.items():
        if split in parts:  # of what was predicted already
            found[split] = found["test"][parts[split]]
            continue
        logits = adapted.predict(examples.array)
        if (groups := other_classes.get(split)) is not None:
            logits = np.stack([logits[:, list(group)].max(axis=1) for group in groups], axis=1)
        found[split] = logits
    return found


def _predictions(cell: Cell, split: str, examples: Examples, logits: Floats) -> pl.DataFrame:
    columns = {
        "cell": [cell.key] * len(examples),
        "split": [split] * len(examples),
        "id": list(examples.ids),
        "label": examples.labels,
        "logits": list(logits.astype(np.float32)),
    }
    return pl.DataFrame(columns, schema=PREDICTIONS)
