"""A ledger that is written as a table and imported says what it said."""

from __future__ import annotations

import tempfile
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raystudy.imported import Imported
from raystudy.imports import Read, in_order, keep, read
from raystudy.laws import FitError, OffsetPower, data_multiplier, fit_law
from raystudy.ledger import SCHEMA, Ledger
from raystudy.store import Store

from ..report.ledger_fixture import make_records
from .tables import studied, written

RENAMED = {
    "method": "Objective",
    "source": "pretraining set",
    "size": "n",
    "architecture": "Backbone",
    "task": "ds",
    "adaptation": "how",
    "shots": "k",
    "seed": "replicate",
    "split": "on",
    "metric": "what",
    "value": "number",
}
KEPT = [*RENAMED, "noise", "noise_rate", "realised_noise", "num_train", "num_tried"]
PLACE = [name for name in KEPT if name not in ("value", "realised_noise", "num_train", "num_tried")]


@st.composite
def ledgers(draw: st.DrawFn) -> pl.DataFrame:
    """Records of two sources in several sizes, shots and seeds, with any accuracies."""
    sizes = draw(st.lists(st.integers(1, 10**9), min_size=3, max_size=4, unique=True))
    seeds = draw(st.lists(st.integers(-5, 10**6), min_size=1, max_size=3, unique=True))
    shots = draw(st.sampled_from([["10"], ["1", "full"], ["0", "5", "full"]]))
    names = st.text("ab,;\"'<&é\n ", min_size=1, max_size=6).map(lambda s: f"x{s}x")
    sources = draw(st.lists(names, min_size=2, max_size=2, unique=True))
    places = list(product(sources, sizes, seeds, shots, ("test", "validation")))
    values = draw(st.lists(st.floats(0, 1), min_size=len(places), max_size=len(places)))
    rows = [
        {
            "method": "clip",
            "source": source,
            "size": size,
            "noise": "clean",
            "noise_rate": 0.0,
            "architecture": "RN50",
            "task": "pets",
            "adaptation": "linear-probe",
            "shots": k,
            "seed": seed,
            "split": split,
            "metric": "accuracy",
            "value": value,
            "num_tried": 1,
        }
        for (source, size, seed, k, split), value in zip(places, values, strict=True)
    ]
    return pl.DataFrame(rows, schema=SCHEMA)


def imported(frame: pl.DataFrame, folder: Path, suffix: str = ".csv") -> Read:
    table = frame.select(KEPT).rename(RENAMED)
    return read(Imported(path=written(folder, table, f"t{suffix}"), columns=RENAMED))


@given(ledgers(), st.sampled_from([".csv", ".tsv", ".parquet"]))
@settings(max_examples=40, deadline=None)
def test_the_same_numbers_in_the_same_places(ledger: pl.DataFrame, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        back = imported(ledger, Path(folder), suffix)
        store = Store(folder)
        keep([back], store)
        kept = in_order(Ledger(store).read(back.cells), [back])
    want = ledger.select(KEPT).sort(PLACE)
    assert kept.select(KEPT).sort(PLACE).equals(want)
    assert (
        kept["source"]
        .unique(maintain_order=True)
        .equals(ledger["source"].unique(maintain_order=True))
    )
    assert back.left_out == {}
    assert kept["cell"].n_unique() == len(ledger) / 2  # two splits of each


@given(ledgers())
@settings(max_examples=15, deadline=None)
def test_the_same_fits(ledger: pl.DataFrame) -> None:
    with tempfile.TemporaryDirectory() as folder:
        back = imported(ledger, Path(folder)).records
    assert fitted(back) == fitted(ledger)


def fitted(records: pl.DataFrame) -> list[object]:
    rows = records.filter(split="test", shots=records["shots"][0]).sort("size", "seed")
    arms = [
        (r["size"].to_numpy(), 1 - r["value"].to_numpy(), r["seed"].to_numpy())
        for r in rows.partition_by("source", maintain_order=True)
    ]
    found: list[object] = []
    for arm in arms:
        try:
            found.append(fit_law(OffsetPower(), *arm).parameters.tolist())
        except FitError as refusal:
            found.append(str(refusal))
    try:
        found.append(data_multiplier(OffsetPower(), *arms).text)
    except FitError as refusal:
        found.append(str(refusal))
    return found


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_whole_ledger_needs_no_map(tmp_path: Path, suffix: str) -> None:
    """Noise, shifts, several metrics and untrained backbones too."""
    ledger = make_records(seeds=2)
    back = read(Imported(path=written(tmp_path, ledger, f"t{suffix}")))
    assert back.records.select(KEPT).sort(PLACE).equals(ledger.select(KEPT).sort(PLACE))
    assert not back.assumed


def test_import_twice_is_import_once(tmp_path: Path) -> None:
    spec = Imported(path=written(tmp_path, make_records(seeds=1)))
    store = Store(tmp_path / "runs")
    keep([read(spec)], store)
    files, records = Ledger(store).files(), Ledger(store).read()
    keep([read(spec)], store)
    assert (Ledger(store).files(), Ledger(store).read().equals(records)) == (files, True)


def test_where_a_table_lies_is_no_part_of_it(tmp_path: Path) -> None:
    ledger = make_records(seeds=1)
    here = Imported(path=written(tmp_path, ledger))
    (tmp_path / "b").mkdir()
    there = Imported(path=written(tmp_path / "b", ledger, "other.csv"))
    assert here.key == there.key
    assert read(here).cells == read(there).cells
    changed = written(tmp_path, ledger.with_columns(pl.col("value") * 0.9), "changed.csv")
    assert not set(read(Imported(path=changed)).cells) & set(read(here).cells)


def test_what_is_read_in_another_way_is_another_result(tmp_path: Path) -> None:
    """Otherwise a wrong unit, once imported, would stay in the ledger for good."""
    path = written(tmp_path, [{"source": "a", "value": 0.3}, {"source": "b", "value": 0.4}])
    right, error = read(Imported(path=path)), read(Imported(path=path, unit="error"))
    store = Store(tmp_path / "runs")
    keep([error, right], store)
    kept = in_order(Ledger(store).read(right.cells), [right])
    np.testing.assert_array_equal(kept["value"], [0.3, 0.4])
    assert studied(right.spec).key != studied(error.spec).key
