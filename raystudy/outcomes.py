"""Models side by side: what each reaches in and out of distribution, one row a model and seed."""

from __future__ import annotations

import polars as pl

MODEL = ["architecture", "method", "source", "size", "noise"]
"""The axes that make a backbone another, but for its seed."""
CELL = [
    *("task", "adaptation", "shots", *MODEL),
    *("family", "parameters", "data", "seed", "backbone"),
]
ROLES = {"id": "id", "ood": "ood", "ood in": "ood_in", "ood out": "ood_out"}


def outcomes(annotated: pl.DataFrame, metrics: tuple[str, ...] = ("accuracy",)) -> pl.DataFrame:
    """``CELL`` and, for each role and metric, a column such as ``ood_accuracy``: the mean over the
    splits of that role. Only of cells that have the metrics in and out of distribution.

    ``annotated`` is of ``raystudy.annotate``. A held-out domain has ``ood_in_…`` and ``ood_out_…``
    too, DomainBed's 80 % and 20 % of it; and ``ood_mean_…``, the mean of those two, which is what
    the code of Naganuma et al. (2023, arXiv 2307.08187) reports.
    """
    rows = annotated.filter(pl.col("role").is_in(list(ROLES)), pl.col("metric").is_in(metrics))
    if rows.is_empty():
        return pl.DataFrame(schema={name: annotated.schema[name] for name in CELL})
    names = pl.col("role").replace_strict(ROLES) + "_" + pl.col("metric")
    table = (
        rows.with_columns(column=names)
        .group_by(*CELL, "column", maintain_order=True)
        .agg(pl.col("value").mean())
        .pivot("column", index=CELL, values="value")
    )
    needed = [f"{role}_{metric}" for role in ("id", "ood") for metric in metrics]
    if not set(needed) <= set(table.columns):
        return table.clear()
    both = [m for m in metrics if {f"ood_in_{m}", f"ood_out_{m}"} <= set(table.columns)]
    table = table.with_columns(
        ((pl.col(f"ood_in_{m}") + pl.col(f"ood_out_{m}")) / 2).alias(f"ood_mean_{m}") for m in both
    )
    return table.drop_nulls(needed).sort(CELL)
