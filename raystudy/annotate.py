"""What a study knows of its records and the ledger does not say: models and roles of splits."""

from __future__ import annotations

import logging
from typing import Literal

import polars as pl

from raystudy.card import card
from raystudy.cost import flops_per_sample
from raystudy.kinds import Task
from raystudy.spec import Pretraining, Study

log = logging.getLogger(__name__)

Role = Literal["id", "ood", "ood in", "ood out", ""]
"""In the distribution that a cell learnt from, or out of it; and of a held-out domain the two parts
that DomainBed cuts it into, 80 % and 20 %."""
PARTS: dict[str, Role] = {"test": "ood", "test-in": "ood in", "test-out": "ood out"}
COLUMNS = {
    "family": pl.String,
    "parameters": pl.Int64,
    "data": pl.String,
    "recipe": pl.String,
    "licence": pl.String,
    "role": pl.String,
}


def annotated(study: Study, records: pl.DataFrame) -> pl.DataFrame:
    """``records`` (``ledger.SCHEMA``) with ``COLUMNS``: of each backbone what ``raystudy.card``
    says of it, of each split its ``Role``. Raises ValueError for a model that nobody offers."""
    wanted = set(records["backbone"])
    backbones = {c.backbone.key: c.backbone for c in study.cells() if c.backbone.key in wanted}
    cards = [(key, *card(backbone)) for key, backbone in backbones.items()]
    names = ["backbone", *list(COLUMNS)[:-1]]
    of_backbone = pl.DataFrame(
        cards, {"backbone": pl.String} | {n: COLUMNS[n] for n in names[1:]}, orient="row"
    )
    tasks = {task.name: task for grid in study.grids for task in grid.tasks}
    splits = records.select("task", "split").unique()
    roles = [role(tasks[t], s) if t in tasks else "" for t, s in splits.iter_rows()]
    of_split = splits.with_columns(role=pl.Series(roles, dtype=pl.String))
    order = ["cell", "split", "metric"]
    return (
        records.join(of_backbone, on="backbone", how="left")
        .join(of_split, on=["task", "split"], how="left")
        .sort(order)
    )


def with_pretraining_flops(study: Study, records: pl.DataFrame) -> pl.DataFrame:
    """``records`` with that column: operations of the pre-training of each backbone, counted on
    paper (``raystudy.cost``); null of those that the study did not pre-train, or that cannot be
    counted."""
    wanted = set(records["backbone"])
    backbones = {c.backbone.key: c.backbone for c in study.cells() if c.backbone.key in wanted}
    counted = [
        (key, _flops(backbone))
        for key, backbone in backbones.items()
        if isinstance(backbone, Pretraining)
    ]
    schema = {"backbone": pl.String, "pretraining_flops": pl.Float64}
    return records.join(pl.DataFrame(counted, schema, orient="row"), on="backbone", how="left")


def _flops(backbone: Pretraining) -> float | None:
    try:
        return float(backbone.samples_seen) * flops_per_sample(backbone)
    except (NotImplementedError, RuntimeError, ValueError) as error:
        log.warning("operations of %s are not counted: %s", backbone.axes()["architecture"], error)
        return None


def role(task: Task, split: str) -> Role:
    """Of a split of a task, as the ledger names it."""
    if split == task.in_distribution:
        return "id"
    if task.in_distribution == "validation":
        return PARTS.get(split, "")
    return "ood" if split.startswith("test-") else ""
