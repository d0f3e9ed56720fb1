"""Records are appended, found again, and counted once."""

from pathlib import Path

import polars as pl
import pytest
from pyarrow.parquet import ParquetFile

from raystudy.ledger import SCHEMA, Ledger
from raystudy.store import Store


def rows(cell: str, value: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    blank = {n: [None] for n in SCHEMA.names()}
    filled = blank | {"cell": [cell], "split": ["test"], "metric": ["accuracy"], "value": [value]}
    predictions = pl.DataFrame(
        {"cell": [cell], "split": ["test"], "id": ["a"], "label": [1], "logits": [[0.0, value]]}
    )
    return pl.DataFrame(filled, schema=SCHEMA), predictions


@pytest.fixture(params=["local", "memory"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    return Ledger(Store(tmp_path if request.param == "local" else f"memory://{tmp_path.name}-l"))


def test_an_empty_ledger_has_the_schema(ledger: Ledger) -> None:
    assert ledger.read().schema == SCHEMA
    assert ledger.cells() == set()


def test_what_is_appended_is_read(ledger: Ledger) -> None:
    ledger.append(*rows("a", 0.5))
    ledger.append(*rows("b", 0.7))
    assert ledger.cells() == {"a", "b"}
    assert ledger.read()["value"].to_list() == [0.5, 0.7]
    assert ledger.read(["b"])["value"].to_list() == [0.7]
    assert ledger.predictions(["b"])["logits"].to_list() == [[0.0, pytest.approx(0.7)]]


def test_a_cell_written_twice_counts_once(ledger: Ledger) -> None:
    ledger.append(*rows("a", 0.5))
    both = [pl.concat(pair) for pair in zip(rows("a", 0.5), rows("b", 0.7), strict=True)]
    ledger.append(both[0], both[1])
    assert ledger.read()["cell"].to_list() == ["a", "b"]
    assert len(ledger.predictions(["a", "b"])) == 2


def test_a_cell_lies_in_a_group_of_its_own(tmp_path: Path) -> None:
    """Or each cell that is read would cost as much as all of its file."""
    ledger = Ledger(Store(tmp_path))
    pairs = zip(*(rows(cell, 0.5) for cell in "abc"), strict=True)
    records, predictions = (pl.concat(frames) for frames in pairs)
    twice = predictions.with_columns(split=pl.lit("validation"))
    ledger.append(records, pl.concat([predictions, twice]).sort("cell"))
    (file,) = (tmp_path / "ledger" / "predictions").iterdir()
    stored = ParquetFile(file)
    groups = [stored.read_row_group(i)["cell"].to_pylist() for i in range(stored.num_row_groups)]
    assert groups == [["a", "a"], ["b", "b"], ["c", "c"]]
    assert set(ledger.scored_splits(ledger.files()[0], "b")) == {"test", "validation"}


def test_records_without_the_schema_are_refused(ledger: Ledger) -> None:
    with pytest.raises(pl.exceptions.PolarsError):
        ledger.append(pl.DataFrame({"cell": ["a"]}), pl.DataFrame())
