"""A study seed by seed: after each, what is decided is looked up, and what can no longer change it
is left out of the next."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator

from raystudy.decided import decide, skippable
from raystudy.ledger import Ledger
from raystudy.plan import Plan, plan
from raystudy.skipped import note_skipped
from raystudy.store import Store

log = logging.getLogger(__name__)

FIRST = 2
"""Seeds of the first rung: one has no interval."""


def rungs(todo: Plan, store: Store, *, retry_failed: bool = False) -> Iterator[Plan]:
    """Parts of what is missing, to be computed one after the other: each is planned when it is
    asked for, from what the ones before it have found. What is left out is noted in the store."""
    seeds = sorted({cell.seed for cell in todo.cells})
    groups = [set(seeds[:FIRST]), *({seed} for seed in seeds[FIRST:])]
    told: set[str] = set()
    for group in groups:
        left_out = _left_out(todo, store)
        note_skipped(store, todo.study.name, left_out)
        for reason, number in Counter(left_out.values()).items():
            if reason not in told:
                log.warning("%s cells are skipped, for it is decided: %s", f"{number:,}", reason)
                told.add(reason)
        others = {cell.key for cell in todo.cells if cell.seed not in group}
        part = plan(
            todo.study, store, retry_failed=retry_failed, leave_out=others | left_out.keys()
        )
        if part.missing_cells:
            yield part


def _left_out(todo: Plan, store: Store) -> dict[str, str]:
    records = Ledger(store).read(cell.key for cell in todo.cells)
    done = set(records["cell"])
    missing = [cell for cell in todo.cells if cell.key not in done]
    return skippable(missing, decide(todo.study, todo.cells, records))
