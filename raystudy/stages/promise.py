"""Promise: how well a backbone may transfer to a task, read off features that are there already.

Which model to try before paying for it: scores that need no adaptation, to be ranked against what
adaptation then gave (``raystudy.transferability``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import polars as pl

from raystudy.kinds import Floats, Integers, Spec
from raystudy.spec import Cell
from raystudy.stages.extract import Features
from raystudy.store import Store
from raystudy.subset import few_shot
from raystudy.transferability.h_score import h_score
from raystudy.transferability.logme import logme
from raystudy.transferability.nleep import nleep
from raystudy.transferability.transrate import transrate

Score = Callable[[Floats, Integers], float]
SCORES: Mapping[str, Score] = {
    "LogME": logme,
    "H-score": lambda x, y: h_score(x, y, shrinkage=True),
    "N-LEEP": lambda x, y: nleep(x, y, covariance="diag"),
    "TransRate": transrate,
}
EXAMPLES_PER_CLASS = 100
"""That are looked at; more change the ranks little and cost much."""
SCHEMA = pl.Schema(
    {"backbone": pl.String, "task": pl.String, "score": pl.String, "value": pl.Float64}
)


class Promise(Spec):
    """The identity of a backbone's scores on a task."""

    features: Features
    examples_per_class: int = EXAMPLES_PER_CLASS


def promises(cells: Iterable[Cell], store: Store) -> pl.DataFrame:
    """Scores of every backbone and task whose features are in the store: ``SCHEMA``."""
    pairs = {(c.backbone.key, c.task.key): c for c in cells if c.adaptation.inputs == "features"}
    rows = []
    for cell in pairs.values():
        features = Features(backbone=cell.backbone, task=cell.task)
        if store.done("features", features.key):
            values = _scores(Promise(features=features), store)
            rows += [(cell.backbone.key, cell.task.name, n, v) for n, v in values.items()]
    return pl.DataFrame(rows, SCHEMA, orient="row")


def _scores(spec: Promise, store: Store) -> dict[str, float]:
    if not store.done("promises", spec.key):
        with store.writing("promises", spec) as (folder, _):
            values = _computed(spec, store)
            (folder / "scores.json").write_text(json.dumps(values))
    return json.loads((store.local("promises", spec.key) / "scores.json").read_text())


def _computed(spec: Promise, store: Store) -> dict[str, float]:
    task = spec.features.task
    stored = store.local("features", spec.features.key) / "train.npy"
    train, x = task.train(), np.load(stored, mmap_mode="r")
    most = min(spec.examples_per_class, int(np.bincount(train.labels).max()))
    rows = few_shot(train.ids, train.labels, most, f"{task.name}/promise", 0, at_most=True)
    features, labels = np.asarray(x[rows], np.float64), train.labels[rows]
    found = {}
    for name, score in SCORES.items():
        try:
            value = float(score(features, labels))
        except (ValueError, FloatingPointError):  # of a backbone whose features say nothing
            continue
        if np.isfinite(value):
            found[name] = value
    return found
