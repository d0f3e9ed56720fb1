"""Answers: what models say in and out of distribution, example by example, and how far other
examples and seeds would move their numbers; from stored predictions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from raystudy.annotate import role
from raystudy.kinds import Scored, Task
from raystudy.ledger import Ledger
from raystudy.metrics.spread import Spread, example_counts, mean, spreads
from raystudy.outcomes import MODEL, ROLES
from raystudy.spec import Cell
from raystudy.store import Store

WAY = ["adaptation", "shots", *MODEL]
"""A model, and how it is adapted."""
Place = tuple[str | int, ...]
Splits = dict[str, Sequence[Scored]]
"""Name → predictions, one a seed."""
Counts = NDArray[np.uint8]
AXES = dict.fromkeys(WAY, pl.String) | {"size": pl.Int64}
HITS = pl.Schema({"task": pl.String} | AXES | {"hits": pl.List(pl.Float64)})
"""Of each example out of distribution, in the order of the task, the share of seeds that get it
right; and of shifts, where these are copies of the same examples."""
CLASSES = pl.Schema(
    {"task": pl.String} | AXES | {"id": pl.List(pl.Int64), "ood": pl.List(pl.Int64)}
)
"""The classes that the first seed predicts, in and out of distribution."""
SPREADS = pl.Schema(
    AXES
    | {"num_tasks": pl.Int64, "column": pl.String}
    | dict.fromkeys(("value", "low", "high"), pl.Float64)
)
"""A mean over tasks and seeds, as ``raystudy.outcomes`` calls it, with its 95 % interval over
examples and seeds."""


class Answers(NamedTuple):
    hits: pl.DataFrame
    classes: pl.DataFrame
    spreads: pl.DataFrame


def answers(cells: Iterable[Cell], store: Store) -> Answers:
    """``HITS``, ``CLASSES`` and ``SPREADS`` of all finished ``cells``. One model's predictions of a
    task are in memory at a time."""
    ledger = Ledger(store)
    file_of = {key: file for file in ledger.files() for key in ledger.cells_in(file)}
    tasks: dict[str, Task] = {}
    of_task: defaultdict[str, defaultdict[Place, list[str]]]
    of_task = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        if cell.key in file_of:
            tasks[cell.task.key], axes = cell.task, cell.axes()
            of_task[cell.task.key][tuple(axes[name] for name in WAY)].append(cell.key)
    hits, classes = [], []
    moved: defaultdict[Place, list[dict[str, Spread]]] = defaultdict(list)
    for key, task in tasks.items():
        counts: dict[tuple[str, int], Counts] = {}
        for place, seeds in of_task[key].items():
            every = [ledger.scored_splits(file_of[cell], cell) for cell in seeds]
            known = _by_role(task, every)
            if known["id"] and known["ood"]:
                ood = known["ood"].values()
                hits.append((task.name, *place, _shares(ood).tolist()))
                classes.append((task.name, *place, _classes(known["id"].values()), _classes(ood)))
                moved[place].append(_spreads(task, known, counts))
    return Answers(
        pl.DataFrame(hits, HITS, orient="row"),
        pl.DataFrame(classes, CLASSES, orient="row"),
        pl.DataFrame(list(_means(moved)), SPREADS, orient="row"),
    )


def _by_role(task: Task, every: Sequence[Mapping[str, Scored]]) -> dict[str, Splits]:
    """The splits of each role that are labelled throughout."""
    found: defaultdict[str, Splits] = defaultdict(dict)
    for split in every[0]:
        seeds = [of_seed[split] for of_seed in every]
        if min(seed.labels.min(initial=0) for seed in seeds) >= 0:
            found[role(task, split)][split] = seeds
    return found


def _shares(splits: Collection[Sequence[Scored]]) -> NDArray[np.float64]:
    """Of seeds that are right, example by example."""
    labels = [seeds[0].labels for seeds in splits]
    shares = [np.mean([s.logits.argmax(1) == s.labels for s in seeds], 0) for seeds in splits]
    copies = all(np.array_equal(own, labels[0]) for own in labels)
    return np.mean(shares, axis=0) if copies else np.concatenate(shares)


def _classes(splits: Collection[Sequence[Scored]]) -> list[int]:
    """That the first seed predicts."""
    return np.concatenate([seeds[0].logits.argmax(1) for seeds in splits]).tolist()


def _spreads(
    task: Task, known: Mapping[str, Splits], counts: dict[tuple[str, int], Counts]
) -> dict[str, Spread]:
    """By the column of ``raystudy.outcomes``. ``counts`` are kept from one model to the next."""
    found: dict[str, Spread] = {}
    for name, prefix in ROLES.items():
        of_splits = []
        for split, seeds in known.get(name, {}).items():
            place = split, len(seeds[0].labels)
            if place not in counts:
                counts[place] = example_counts(place[1], f"{task.name}/{split}")
            of_splits.append(spreads(seeds, counts[place]))
        for metric in of_splits[0] if of_splits else ():
            found[f"{prefix}_{metric}"] = mean([of_split[metric] for of_split in of_splits])
    for column, inside in list(found.items()):
        if column.startswith("ood_in_"):
            metric = column.removeprefix("ood_in_")
            found[f"ood_mean_{metric}"] = mean([inside, found[f"ood_out_{metric}"]])
    return found


def _means(moved: Mapping[Place, Sequence[Mapping[str, Spread]]]) -> Iterator[tuple]:
    for place, tasks in moved.items():
        for column in tasks[0]:
            if all(column in of_task for of_task in tasks):
                whole = mean([of_task[column] for of_task in tasks])
                yield *place, len(tasks), column, whole.value, *whole.interval()
