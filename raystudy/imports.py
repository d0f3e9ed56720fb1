"""From a table that others made to records of the ledger: which study asks for them, finished."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from raystudy.imported import AXES, Imported
from raystudy.key import digest
from raystudy.ledger import PREDICTIONS, SCHEMA, Ledger
from raystudy.read_table import ROW
from raystudy.restated import HYPER, Restated, restated
from raystudy.spec import SELECTED, Selection, Study
from raystudy.store import Store

CELL = [name for name in AXES if name not in ("split", "metric")]
"""What makes a cell another, but for the settings that it was chosen among."""
TRY = "try"


@dataclass(frozen=True)
class Read:
    """What a table holds."""

    spec: Imported
    records: pl.DataFrame
    """``ledger.SCHEMA``, one row a cell, split and metric, in the table's order."""
    selection: Selection
    """Where the best of sweeps were chosen."""
    num_rows: int
    num_tried: int
    """Numbers of every setting, of which ``records`` holds the best."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Reason → how many rows or numbers."""
    assumed: tuple[str, ...] = ()
    """Axes of which the table says nothing."""
    unread: tuple[str, ...] = ()
    """Columns that nothing names and that are not the same in all rows."""

    @property
    def summary(self) -> str:
        """For the foot of a report: how much, and of which bytes."""
        return f"{len(self.cells):,} cells of {self.num_rows:,} rows, content {self.spec.content}"

    @property
    def cells(self) -> list[str]:
        return self.records["cell"].unique(maintain_order=True).to_list()


def read(spec: Imported) -> Read:
    """The records of a table. Raises FileNotFoundError, and ValueError naming file, row and column
    for what cannot be understood."""
    table = restated(spec)
    numbers, same = _distinct(spec, table)
    chosen, selection = _chosen(spec, numbers)
    left_out = dict(table.left_out)
    if same:
        left_out["numbers that stand there twice"] = same
    return Read(
        spec,
        _as_ledger(spec, chosen, selection),
        selection,
        table.num_rows,
        len(numbers),
        left_out,
        table.assumed,
        table.unread,
    )


def keep(found: Iterable[Read], store: Store) -> None:
    """Put what was read into the ledger, where it is not there yet."""
    ledger = Ledger(store)
    for one in found:
        if len(ledger.finished(one.cells)) < len(one.cells):
            ledger.append(one.records, pl.DataFrame(schema=PREDICTIONS))


def read_all(study: Study) -> list[Read]:
    """Every table of a study. Raises as ``read``."""
    return [read(spec) for spec in study.tables]


def in_order(records: pl.DataFrame, found: Sequence[Read]) -> pl.DataFrame:
    """``records`` with those of tables last, as they stand there."""
    place = {cell: i for i, cell in enumerate(c for one in found for c in one.cells)}
    rank = pl.col("cell").replace_strict(place, default=-1, return_dtype=pl.Int64)
    return records.sort(rank, maintain_order=True)


def _distinct(spec: Imported, table: Restated) -> tuple[pl.DataFrame, int]:
    """One row a number, and how many stood there twice. Raises ValueError for rows that differ in
    nothing but their number, unless the spec says what they are."""
    place = [*CELL, "split", "metric", HYPER]
    numbers, same = table.numbers, 0
    if spec.repeats != "seeds":
        once = numbers.unique([*place, "value"], keep="first", maintain_order=True)
        numbers, same = once, len(numbers) - len(once)
    repeat = pl.int_range(pl.len()).over(place)
    match spec.repeats:
        case "seeds":
            return numbers.with_columns(repeat.alias("seed"), pl.lit(0).alias(TRY)), same
        case "tried":
            return numbers.with_columns(repeat.alias(TRY)), same
    twice = numbers.filter(numbers.select(place).is_duplicated())
    if len(twice):
        raise ValueError(_twice(spec, table, twice, place))
    return numbers.with_columns(pl.lit(0).alias(TRY)), same


def _twice(spec: Imported, table: Restated, twice: pl.DataFrame, place: list[str]) -> str:
    first = twice.row(0, named=True)
    rows = twice.join(twice.head(1).select(place), on=place, nulls_equal=True)
    said = [f"{name} {first[name]}" for name in CELL if name not in table.assumed]
    differ = [f"'{n}'" for n in table.unread if _differs(table.source, n, rows[ROW])]
    hint = f" they differ in {', '.join(differ)}:" if differ else ""
    return (
        f"{spec.path}: rows {', '.join(map(str, rows[ROW][:4]))} give {len(rows)} numbers for one "
        f"place ({', '.join((*said, first['split'], first['metric']))}): "
        f"{', '.join(f'{v:g}' for v in rows['value'][:4])};{hint} name the column that tells them "
        "apart, as seed or hyper-parameter, or say what repeats are (tried, or seeds)"
    )


def _differs(table: pl.DataFrame, column: str, rows: pl.Series) -> bool:
    return table.filter(pl.col(ROW).is_in(rows.to_list()))[column].n_unique() > 1


def _chosen(spec: Imported, numbers: pl.DataFrame) -> tuple[pl.DataFrame, Selection]:
    """Of every cell the setting that did best, with ``num_tried``; and on which split it did."""
    settings = [*CELL, HYPER, TRY]
    counts = numbers.select(settings).unique().group_by(CELL).len()
    is_sweep = bool((counts["len"] > 1).any())
    if not is_sweep:
        return numbers.with_columns(tried=pl.lit(1)), spec.selection or "validation"
    split = "validation" if "validation" in set(numbers["split"]) else "test"
    if spec.selection not in (None, split):
        raise ValueError(
            f"{spec.path}: holds every setting that was tried, of which none can be chosen on "
            f"{spec.selection} without its numbers; name their column, or leave out the selection"
        )
    metrics = sorted(set(numbers["metric"]))
    metric = "accuracy" if "accuracy" in metrics else metrics[0]
    best = "highest" if metric == "accuracy" else spec.best
    if best is None or (metric != "accuracy" and len(metrics) > 1):
        raise ValueError(
            f"{spec.path}: which setting of a sweep is best by {', '.join(metrics)}? Say whether "
            "the highest or the lowest (Imported.best), of one metric, or give accuracies"
        )
    judged = numbers.filter(split=split, metric=metric)
    winners = (
        judged.sort("value", descending=best == "highest", maintain_order=True)
        .group_by(CELL, maintain_order=True)
        .agg(pl.col(HYPER, TRY).first(), tried=pl.len())
    )
    unjudged = counts.join(winners, on=CELL, how="anti")
    if (unjudged["len"] > 1).any():
        lost = unjudged.filter(pl.col("len") > 1).row(0, named=True)
        said = ", ".join(f"{name} {lost[name]}" for name in CELL)
        raise ValueError(
            f"{spec.path}: no {split} {metric} to choose the best setting by, of {said}; fill it "
            "in, or leave those rows out"
        )
    alone = numbers.join(unjudged, on=CELL, how="semi").unique(CELL, maintain_order=True)
    alone = alone.select(*CELL, HYPER, TRY, tried=pl.lit(1, winners.schema["tried"]))
    winners = pl.concat([winners, alone])
    kept = numbers.join(winners, on=[*CELL, HYPER, TRY], how="inner", maintain_order="left")
    return kept, split


def _as_ledger(spec: Imported, chosen: pl.DataFrame, selection: Selection) -> pl.DataFrame:
    """``ledger.SCHEMA``. A cell's key is that of the table and of how it is read, and its axes: a
    table that is read in another way gives other cells."""
    cells = chosen.select(CELL).unique(maintain_order=True)
    of_backbone = [name for name in CELL if name not in ("task", "adaptation", "shots")]
    keys = cells.with_columns(
        cell=_digests(spec.key, cells, CELL),
        backbone=_digests(spec.content, cells, of_backbone),
    )
    records = chosen.join(keys, on=CELL, how="left", maintain_order="left").with_columns(
        pl.col("adaptation") + SELECTED[selection],
        chosen=_named(spec),
        num_tried=pl.coalesce("num_tried", "tried"),
    )
    return records.select(SCHEMA.names()).cast(SCHEMA)  # pyright: ignore[reportArgumentType]


def _digests(of: str, cells: pl.DataFrame, names: list[str]) -> pl.Series:
    rows = cells.select(names).iter_rows()
    return pl.Series([digest([of, *row]) for row in rows], dtype=pl.String)


def _named(spec: Imported) -> pl.Expr:
    def text(values: str) -> str:
        found: list[Any] = json.loads(values)
        return json.dumps(dict(zip(spec.hyper, found, strict=True)))

    return pl.col(HYPER).map_elements(text, return_dtype=pl.String)
