"""What a study knows of its records and the ledger does not say: models and roles of splits."""

from __future__ import annotations

from typing import Literal

import polars as pl

from raystudy.card import card
from raystudy.kinds import Task
from raystudy.spec import Study

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


def role(task: Task, split: str) -> Role:
    """Of a split of a task, as the ledger names it."""
    if split == task.in_distribution:
        return "id"
    if task.in_distribution == "validation":
        return PARTS.get(split, "")
    return "ood" if split.startswith("test-") else ""
