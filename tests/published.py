"""Published tables, which the project does not ship: beside the checkout, in shared/published, or
where RAYSTUDY_PUBLISHED says. Tests skip without them."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

ROOT = Path(__file__).resolve().parents[1]


def folder(name: str) -> Path:
    """Skips the test where the folder is not there."""
    asked = os.environ.get("RAYSTUDY_PUBLISHED")
    tried = [Path(asked)] if asked else [p / "shared" / "published" for p in (ROOT, *ROOT.parents)]
    for place in tried:
        if (place / name).is_dir():
            return place / name
    pytest.skip(f"{name} is not in shared/published; set RAYSTUDY_PUBLISHED to where it is")


def table(name: str, file: str) -> pl.DataFrame:
    return pl.read_csv(folder(name) / file, infer_schema_length=None)
