"""Score: metrics of finished cells, from the predictions that are kept. No model is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import polars as pl

from raystudy.kinds import Metric
from raystudy.ledger import SCORES, Ledger
from raystudy.store import Store


def unscored(
    cells: Iterable[str], metrics: Sequence[Metric], store: Store
) -> dict[str, list[Metric]]:
    """File of the ledger → those of ``metrics`` that none of its cells has yet; of files that hold
    any of ``cells``."""
    if not metrics:
        return {}
    ledger, wanted, found = Ledger(store), set(cells), {}
    done = ledger.scored()
    for file in ledger.files():
        if wanted & ledger.cells_in(file):
            missing = [m for m in metrics if m.key not in done.get(file, ())]
            if missing:
                found[file] = missing
    return found


def score(missing: dict[str, list[Metric]], store: Store, advance: Callable[[int], None]) -> None:
    """Compute what ``unscored`` found. ``advance`` is told how many cells a file held, when they
    are in the ledger. One cell is in memory at a time.

    Raises ValueError, naming cell and metric, for a metric that fails or is not a number.
    """
    ledger = Ledger(store)
    for file, metrics in missing.items():
        cells = sorted(ledger.cells_in(file))
        rows = [row for cell in cells for row in _of_cell(ledger, file, cell, metrics)]
        keys = [m.key for m in metrics]
        ledger.add_scores(file, keys, pl.DataFrame(rows, SCORES, orient="row"))
        advance(len(cells))


def _of_cell(
    ledger: Ledger, file: str, cell: str, metrics: Sequence[Metric]
) -> Iterable[tuple[Any, ...]]:
    scored = ledger.scored_splits(file, cell)
    for metric in metrics:
        for split in scored:
            try:
                value = metric.judge(split, scored)
            except (ValueError, ArithmeticError) as error:
                raise ValueError(f"{metric.name} of cell {cell} on {split}: {error}") from error
            if value is not None:
                yield cell, split, metric.name, metric.key, float(value)
