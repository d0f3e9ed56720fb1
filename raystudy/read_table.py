"""Read a table that others made: text or parquet, of bounded size, never unpickled."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from raystudy.imported import MAX_BYTES

ROW = "row number"
"""A column that is added: 1 for the first row below the header."""
SEPARATORS = ",;\t"
SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".parquet")
MAX_CELLS = 50_000_000
"""Rows × columns."""


def read_table(path: str) -> pl.DataFrame:
    """The table at ``path`` and ``ROW``; of text, every column as text without outer blanks.

    Raises FileNotFoundError, and ValueError, naming the file, for what is no table, is empty, or is
    too large to be read whole (``MAX_BYTES``, ``MAX_CELLS``).
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{path}: no such file; say where the table is")
    if file.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: tables end in {', '.join(SUFFIXES)}; name it so")
    try:
        table = _parquet(file) if file.suffix.lower() == ".parquet" else _text(file)
    except (pl.exceptions.PolarsError, UnicodeDecodeError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{path} cannot be read as a table: {reason}") from error
    if table.is_empty():
        raise ValueError(f"{path}: the table has no row")
    if ROW in table.columns:
        raise ValueError(f"{path}: a column is called '{ROW}', which is taken; rename it")
    return table.with_row_index(ROW, offset=1)


def _text(file: Path) -> pl.DataFrame:
    _check_size(file, file.stat().st_size)
    with file.open(encoding="utf-8-sig", newline="") as lines:
        header = lines.readline()
    separator = max(SEPARATORS, key=header.count)
    names = [name.strip().strip('"') for name in header.rstrip("\r\n").split(separator)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{file}: two columns are called '{twice[0]}'; rename one")
    if header and header.count("\n") == 0 and not header.strip():
        raise ValueError(f"{file}: the table has no header")
    table = pl.read_csv(file, separator=separator, infer_schema=False)
    _check_cells(file, table.height, table.width)
    return table.rename(str.strip).with_columns(pl.all().str.strip_chars())


def _parquet(file: Path) -> pl.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        about = pq.read_metadata(file)
    except pa.ArrowException as error:
        raise ValueError(f"{file} is not a parquet file: {error}") from error
    # A few bytes on disk may stand for any number in memory.
    _check_size(file, sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups)))
    _check_cells(file, about.num_rows, about.num_columns)
    table = pl.read_parquet(file)
    plain = (pl.String, pl.Boolean, pl.Categorical, pl.Enum, pl.Null)
    for name, dtype in table.schema.items():
        if not dtype.is_numeric() and dtype not in plain:
            table = table.drop(name)
    texts = pl.col(pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Null)
    return table.with_columns(texts.cast(pl.String).str.strip_chars())


def _check_size(file: Path, num_bytes: int) -> None:
    if num_bytes > MAX_BYTES:
        raise ValueError(
            f"{file}: {num_bytes:,} bytes, and {MAX_BYTES:,} are read at most; leave out what the "
            "study does not ask for"
        )


def _check_cells(file: Path, num_rows: int, num_columns: int) -> None:
    if num_rows * num_columns > MAX_CELLS:
        raise ValueError(
            f"{file}: {num_rows:,} rows of {num_columns} columns, and {MAX_CELLS:,} entries are "
            "read at most; leave out what the study does not ask for"
        )
