"""A table that others made, in the ledger's words: one row a number, every axis typed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from raystudy.entries import entries
from raystudy.imported import AXES, FACTS, Imported, Value, nearest
from raystudy.read_table import ROW, read_table

HYPER = "hyper-parameters"
"""Of each number, as a JSON list of texts."""
UNTRAINED = "none"


@dataclass(frozen=True)
class Restated:
    """Every number of a table that can be read."""

    numbers: pl.DataFrame
    """``AXES``, ``FACTS``, ``value`` (accuracies as shares), ``HYPER`` and ``ROW``."""
    source: pl.DataFrame
    """The table as it is, with ``ROW``."""
    num_rows: int
    left_out: dict[str, int]
    assumed: tuple[str, ...]
    unread: tuple[str, ...]


def restated(spec: Imported) -> Restated:
    """Raises FileNotFoundError, and ValueError naming file, row and column, for what is amiss."""
    source = read_table(spec.path)
    table = source.drop(ROW).columns
    columns = _columns(spec, table)
    rows, left_out = _rows(spec, source)
    pieces = [_piece(spec, rows, columns, name, says) for name, says in _pieces(spec, columns)]
    numbers = pl.concat(pieces).sort(ROW, maintain_order=True)
    if empty := len(rows) * len(pieces) - len(numbers):
        left_out["places without a number"] = empty
    if numbers.is_empty():
        raise ValueError(f"{spec.path}: no row has a number; {_reasons(left_out)}")
    said = {*columns, *spec.constants, *spec.said_by_values(), *spec.said_by_width()}
    if "noise_rate" in said and "noise" not in said:
        rate = pl.col("noise_rate")
        named = pl.when(rate == 0).then(pl.lit("clean")).otherwise("noise-" + rate.cast(pl.String))
        numbers, said = numbers.with_columns(noise=named), {*said, "noise"}
    numbers = _checked(spec, numbers)
    named = {*columns.values(), *spec.meanings, *spec.wide, *spec.where, *spec.hyper}
    varies = [c for c in table if c not in {*named, spec.validation} and rows[c].n_unique() > 1]
    assumed = tuple(a for a in AXES if a not in {*said, "split" if spec.validation else ""})
    return Restated(numbers, source, len(source), left_out, assumed, tuple(varies))


def _columns(spec: Imported, table: Sequence[str]) -> dict[str, str]:
    """Of the ledger → of the table: as said, and as they are called alike. Raises ValueError for a
    column that is not there."""
    other = {*spec.constants, *spec.said_by_values(), *spec.said_by_width(), *spec.hyper}
    other |= {*spec.meanings, *spec.wide, *spec.where}
    other |= {"seed"} if spec.repeats == "seeds" else set()
    other |= {"value"} if spec.wide else set()
    alike = {n: n for n in (*AXES, *FACTS, "value") if n in table and n not in other}
    columns = alike | dict(spec.columns)
    asked = {
        "columns": columns.values(),
        "meanings": spec.meanings,
        "wide": spec.wide,
        "where": spec.where,
        "hyper": spec.hyper,
        "validation": [spec.validation] if spec.validation else [],
    }
    for field, names in asked.items():
        for name in names:
            if name not in table:
                raise ValueError(
                    f"{spec.path} has no column '{name}' (Imported.{field}); {nearest(name, table)}"
                )
    if not spec.wide and "value" not in columns:
        raise ValueError(
            f"{spec.path}: which column holds the numbers? Map 'value' to it, or name several "
            f"(Imported.wide); there are: {', '.join(table)}"
        )
    return columns


def _pieces(spec: Imported, columns: dict[str, str]) -> list[tuple[str, dict[str, Value]]]:
    """Columns of numbers, and what is said of them."""
    if spec.wide:
        return [(name, dict(says)) for name, says in spec.wide.items()]
    tested: list[tuple[str, dict[str, Value]]] = [(columns["value"], {})]
    if spec.validation:
        tested.append((spec.validation, {"split": "validation"}))
    return tested


def _rows(spec: Imported, source: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """The rows that are asked for, and how many are not, by reason."""
    rows, left_out = source, {}
    for column, value in spec.where.items():
        kept = rows.filter(_equals(rows, column, value))
        if kept.is_empty():
            held = rows[column].cast(pl.String).unique(maintain_order=True).drop_nulls().to_list()
            raise ValueError(
                f"{spec.path}: no row has {column} = {value}; {nearest(str(value), held[:50])}"
            )
        if len(kept) < len(rows):
            left_out[f"rows where {column} is not {value}"] = len(rows) - len(kept)
        rows = kept
    for column, meanings in spec.meanings.items():
        texts = rows[column].cast(pl.String)
        for row, text in zip(rows[ROW], texts, strict=True):
            if text not in meanings:
                raise ValueError(
                    f"{spec.path}, row {row}, column '{column}': '{text}' has no meaning; "
                    f"{nearest(str(text), meanings)}"
                )
        dropped = [text for text, says in meanings.items() if says is None]
        kept = rows.filter(~texts.is_in(dropped))
        if len(kept) < len(rows):
            left_out[f"rows of {column} {', '.join(dropped)}"] = len(rows) - len(kept)
        rows = kept
    if rows.is_empty():
        raise ValueError(f"{spec.path}: no row is left; {_reasons(left_out)}")
    return rows, left_out


def _piece(
    spec: Imported,
    rows: pl.DataFrame,
    columns: Mapping[str, str],
    value: str,
    says: Mapping[str, Value],
) -> pl.DataFrame:
    """One row a number of the column ``value``; none where it is empty."""
    found = _column(spec, rows, value, "value")
    rows, found = rows.filter(found.is_not_null()), found.drop_nulls()
    by_value, made = spec.said_by_values(), {"value": found}
    for name in (*AXES, *FACTS):
        if name in says:
            made[name] = _constant(spec, f"wide['{value}']", name, says[name], len(rows))
        elif name in by_value:
            made[name] = _meant(spec, rows, by_value[name], name)
        elif name in columns:
            made[name] = _column(spec, rows, columns[name], name)
        else:
            given = spec.constants.get(name, AXES.get(name))
            made[name] = _constant(spec, "constants", name, given, len(rows))
    hyper = rows.select(pl.col(c).cast(pl.String).fill_null("") for c in spec.hyper)
    texts = [json.dumps(row) for row in hyper.iter_rows()] if spec.hyper else ["[]"] * len(rows)
    return pl.DataFrame({ROW: rows[ROW], HYPER: pl.Series(texts, dtype=pl.String), **made})


def _column(spec: Imported, rows: pl.DataFrame, column: str, name: str) -> pl.Series:
    def place(row: int) -> str:
        return f"{spec.path}, row {rows[ROW][row]}, column '{column}' ({name})"

    return entries(rows[column], name, place)


def _constant(
    spec: Imported, field: str, name: str, value: Value | None, num_rows: int
) -> pl.Series:
    if value is None and name not in FACTS:
        raise ValueError(f"{spec.path}: nothing says the '{name}'")
    raw = pl.Series([value], dtype=pl.String if value is None else None)
    one = entries(raw, name, lambda _: f"{spec.path}, Imported.{field}['{name}']")
    return one.new_from_index(0, num_rows)


def _meant(spec: Imported, rows: pl.DataFrame, column: str, name: str) -> pl.Series:
    """What the values of ``column`` say of ``name``; the usual where a value says nothing of it."""
    meanings = spec.meanings[column]
    usual = AXES.get(name)
    texts = rows[column].cast(pl.String).to_list()
    said = [(meanings[text] or {}).get(name, usual) for text in texts]

    def place(row: int) -> str:
        return f"{spec.path}, Imported.meanings['{column}']['{texts[row]}']['{name}']"

    raw = pl.Series([None if v is None else str(v) for v in said], dtype=pl.String)
    return entries(raw, name, place)


def _checked(spec: Imported, numbers: pl.DataFrame) -> pl.DataFrame:
    """Accuracies as shares, and the axes of what saw no data as the ledger has them."""
    is_accuracy = pl.col("metric") == "accuracy"
    share = pl.col("value") / (100 if "percent" in spec.unit else 1)
    share = 1 - share if "error" in spec.unit else share
    untrained = (pl.col("method") == UNTRAINED) | (pl.col("source") == UNTRAINED)
    numbers = numbers.with_columns(
        value=pl.when(is_accuracy).then(share).otherwise("value"),
        method=pl.when(untrained).then(pl.lit(UNTRAINED)).otherwise("method"),
        source=pl.when(untrained).then(pl.lit(UNTRAINED)).otherwise("source"),
        size=pl.when(untrained).then(pl.lit(0, pl.Int64)).otherwise("size"),
        given=pl.col("value"),
    )
    beyond = numbers.filter(is_accuracy & ~pl.col("value").is_between(-1e-9, 1 + 1e-9))
    if len(beyond):
        row, given = beyond[ROW][0], beyond["given"][0]
        out = (
            "say that they are in percent (unit), or what they are (metric)"
            if "percent" not in spec.unit and given > 1
            else "correct it, or say what it is (metric)"
        )
        raise ValueError(f"{spec.path}, row {row}: {given:g} is no {spec.unit} of examples; {out}")
    inside = pl.when(is_accuracy).then(pl.col("value").clip(0, 1)).otherwise("value")
    return numbers.with_columns(value=inside).drop("given")


def _equals(rows: pl.DataFrame, column: str, value: Value) -> pl.Expr:
    """As texts, or as numbers where both are: a table may write 0.0001 as 1E-04."""
    texts = pl.col(column).cast(pl.String)
    same = texts == str(value)
    try:
        return same | (texts.cast(pl.Float64, strict=False) == float(value))
    except ValueError:
        return same


def _reasons(left_out: Mapping[str, int]) -> str:
    return "; ".join(f"{number:,} {reason}" for reason, number in left_out.items()) or "it is empty"
