"""Hits: which examples out of distribution each model gets right, from stored predictions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from raystudy.annotate import role
from raystudy.ledger import Ledger
from raystudy.outcomes import MODEL
from raystudy.spec import Cell
from raystudy.store import Store

AXES = ["task", "adaptation", "shots", *MODEL]


def hits(cells: Sequence[Cell], store: Store) -> pl.DataFrame:
    """One row a task, adaptation, number of shots and model: ``AXES`` and ``hits``, for each
    example (in the order of the task) the share of seeds, and of shifts, that get it right."""
    ledger = Ledger(store)
    wanted = {cell.key: cell for cell in cells}
    found: defaultdict[tuple, list[NDArray[np.float64]]] = defaultdict(list)
    for file in ledger.files():
        for key in sorted(wanted.keys() & ledger.cells_in(file)):
            cell = wanted.pop(key)
            scored = ledger.scored_splits(file, key)
            out = [s for split, s in scored.items() if role(cell.task, split) == "ood"]
            if out and min(s.labels.min() for s in out) >= 0:
                right = [s.logits.argmax(1) == s.labels for s in out]
                axes = cell.axes()
                found[tuple(axes[name] for name in AXES)].append(np.mean(right, axis=0))
    rows = [(*place, np.mean(seeds, axis=0).tolist()) for place, seeds in found.items()]
    schema = dict.fromkeys(AXES, pl.String) | {"size": pl.Int64, "hits": pl.List(pl.Float64)}
    return pl.DataFrame(rows, schema, orient="row")
