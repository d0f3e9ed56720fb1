"""Tables as others write them, and the studies that import them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from raystudy.imported import Imported
from raystudy.spec import Study


def written(folder: Path, rows: list[dict[str, Any]] | pl.DataFrame, name: str = "t.csv") -> str:
    frame = rows if isinstance(rows, pl.DataFrame) else pl.DataFrame(rows)
    path = folder / name
    match path.suffix:
        case ".parquet":
            frame.write_parquet(path)
        case ".tsv":
            frame.write_csv(path, separator="\t")
        case _:
            frame.write_csv(path)
    return str(path)


def studied(*tables: Imported, **fields: Any) -> Study:
    return Study(name="imported", tables=tables, **fields)
