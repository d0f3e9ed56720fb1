"""What tables say, and what they say wrongly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

import raystudy.imported as limits
import raystudy.read_table as read_table
from raystudy.imported import Imported
from raystudy.imports import read

from .tables import written

LONG = [
    {"src": s, "k": k, "rep": r, "acc": a}
    for (s, k, r), a in zip(
        [(s, k, r) for s in "ab" for k in ("1", "full") for r in (0, 1)],
        [10.0, 12.0, 60.5, 61.0, 20.0, 23.0, 70.0, 70.25],
        strict=True,
    )
]
COLUMNS = {"source": "src", "shots": "k", "seed": "rep", "value": "acc"}


def long(folder: Path, **changes: Any) -> Imported:
    path = changes.pop("path", None) or written(folder, LONG)
    return Imported(**{"path": path, "columns": COLUMNS, "unit": "percent"} | changes)


def test_a_wide_table_says_what_a_long_one_says(tmp_path: Path) -> None:
    wide = pl.DataFrame(LONG).pivot("k", index=["src", "rep"], values="acc")
    wide = wide.rename({"1": "one shot"})
    spec = Imported(
        path=written(tmp_path, wide, "wide.csv"),
        columns={"source": "src", "seed": "rep"},
        wide={"one shot": {"shots": 1}, "full": {"shots": "full"}},
        unit="percent",
    )
    names = ["source", "shots", "seed", "split", "metric", "value"]
    expected = read(long(tmp_path)).records.select(names).sort(names)
    assert read(spec).records.select(names).sort(names).equals(expected)
    assert expected["value"].to_list() == pytest.approx(
        [0.1, 0.12, 0.605, 0.61, 0.2, 0.23, 0.7, 0.7025]
    )


@pytest.mark.parametrize(
    ("unit", "factor", "offset"),
    [("share", 0.01, 0), ("percent", 1, 0), ("error", -0.01, 1), ("error-percent", -1, 100)],
)
def test_units(tmp_path: Path, unit: str, factor: float, offset: float) -> None:
    rows = [row | {"acc": factor * row["acc"] + offset} for row in LONG]
    spec = long(tmp_path, path=written(tmp_path, rows), unit=unit)
    expected = [row["acc"] / 100 for row in LONG]
    assert read(spec).records["value"].to_list() == pytest.approx(expected)


def test_other_metrics_keep_their_numbers(tmp_path: Path) -> None:
    spec = long(tmp_path, constants={"metric": "loss"}, unit="share")
    assert read(spec).records["value"].to_list() == [row["acc"] for row in LONG]


SWEEP = [
    {"lr": lr, "seed": seed, "acc": acc, "val": val, "size": size}
    for lr, seed, acc, val, size in [
        (0.1, 0, 0.50, 0.9, 100),
        (0.2, 0, 0.60, 0.8, 100),
        (0.1, 1, 0.55, 0.7, 100),
        (0.2, 1, 0.52, 0.8, 100),
        (0.1, 0, 0.70, 0.9, 200),
    ]
]


def test_the_best_of_a_sweep_on_validation(tmp_path: Path) -> None:
    path = written(tmp_path, SWEEP)
    found = read(Imported(path=path, columns={"value": "acc"}, validation="val", hyper=("lr",)))
    test = found.records.filter(split="test")
    assert test.select("size", "seed", "value", "num_tried").rows() == [
        (100, 0, 0.5, 2),
        (100, 1, 0.52, 2),
        (200, 0, 0.7, 1),
    ]
    assert test["chosen"].to_list() == ['{"lr": "0.1"}', '{"lr": "0.2"}', '{"lr": "0.1"}']
    assert set(test["adaptation"]) == {"imported"}
    assert found.selection == "validation"
    assert found.records.filter(split="validation")["value"].to_list() == [0.9, 0.8, 0.9]


def test_a_setting_without_rivals_needs_no_validation(tmp_path: Path) -> None:
    rows = [{k: str(v) for k, v in row.items()} for row in SWEEP]
    rows[-1]["val"] = ""
    spec = Imported(
        path=written(tmp_path, rows), columns={"value": "acc"}, validation="val", hyper=("lr",)
    )
    test = read(spec).records.filter(split="test")
    assert test.select("size", "seed", "value", "num_tried").rows()[-1] == (200, 0, 0.7, 1)
    rows[0]["val"] = rows[1]["val"] = ""
    written(tmp_path, rows)
    with pytest.raises(ValueError, match=r"no validation accuracy to choose .*size 100.*seed 0"):
        read(Imported(**spec.model_dump()))


def test_without_validation_every_number_says_that_it_was_chosen_on_test(tmp_path: Path) -> None:
    found = read(
        Imported(
            path=written(tmp_path, SWEEP),
            columns={"value": "acc"},
            constants={"adaptation": "probe"},
            hyper=("lr",),
        )
    )
    assert found.records["value"].to_list() == [0.6, 0.55, 0.7]
    assert set(found.records["adaptation"]) == {"probe (selected on test)"}
    assert (found.selection, found.num_tried) == ("test", 5)


def test_a_table_of_winners_says_where_they_were_chosen(tmp_path: Path) -> None:
    assert set(read(long(tmp_path)).records["adaptation"]) == {"imported"}
    chosen = read(long(tmp_path, selection="test")).records
    assert set(chosen["adaptation"]) == {"imported (selected on test)"}
    sweep = Imported(
        path=written(tmp_path, SWEEP, "s.csv"),
        columns={"value": "acc"},
        hyper=("lr",),
        selection="validation",
    )
    with pytest.raises(ValueError, match="none can be chosen on validation without its numbers"):
        read(sweep)


def test_the_best_loss_is_the_lowest_if_one_says_so(tmp_path: Path) -> None:
    spec = Imported(
        path=written(tmp_path, SWEEP),
        columns={"value": "acc"},
        constants={"metric": "loss"},
        hyper=("lr",),
    )
    with pytest.raises(ValueError, match=r"best by loss\? Say whether the highest or the lowest"):
        read(spec)
    lowest = read(spec.model_copy(update={"best": "lowest"}))
    assert lowest.records["value"].to_list() == [0.5, 0.52, 0.7]


def test_repeats(tmp_path: Path) -> None:
    rows = [{"source": "a", "value": v, "note": n} for v, n in [(0.5, "x"), (0.6, "y"), (0.6, "y")]]
    path = written(tmp_path, rows)
    with pytest.raises(ValueError, match=r"rows 1, 2 give 2 numbers for one place \(source a") as e:
        read(Imported(path=path))
    assert "they differ in 'note': name the column that tells them apart" in str(e.value)
    tried = read(Imported(path=path, repeats="tried"))
    assert tried.records.select("value", "num_tried").rows() == [(0.6, 2)]
    assert tried.left_out == {"numbers that stand there twice": 1}
    seeds = read(Imported(path=path, repeats="seeds"))
    assert seeds.records.select("seed", "value").rows() == [(0, 0.5), (1, 0.6), (2, 0.6)]


def test_one_column_may_say_several_things(tmp_path: Path) -> None:
    rows = [{"model": m, "value": 0.5} for m in ("rn50-1m", "vit-2b", "scratch", "typo")]
    meanings = {
        "rn50-1m": {"source": "web", "size": "1M", "architecture": "RN50"},
        "vit-2b": {"source": "web", "size": 2_000_000_000, "architecture": "ViT"},
        "scratch": {"source": "none", "architecture": "RN50"},
        "typo": None,
    }
    found = read(Imported(path=written(tmp_path, rows), meanings={"model": meanings}))
    names = ["method", "source", "size", "architecture"]
    assert found.records.select(names).rows() == [
        ("imported", "web", 1_000_000, "RN50"),
        ("imported", "web", 2_000_000_000, "ViT"),
        ("none", "none", 0, "RN50"),
    ]
    assert found.left_out == {"rows of model typo": 1}
    known = {k: v for k, v in meanings.items() if k != "typo"}
    unknown = Imported(path=written(tmp_path, rows), meanings={"model": known})
    with pytest.raises(ValueError, match=r"row 4, column 'model': 'typo' has no meaning; there"):
        read(unknown)


def test_labels_of_replicates_are_numbered_as_they_come(tmp_path: Path) -> None:
    rows = [{"source": s, "run": r, "value": 0.5} for s in "ab" for r in ("zeta", "alpha")]
    found = read(Imported(path=written(tmp_path, rows), columns={"seed": "run"}))
    assert found.records["seed"].to_list() == [0, 1, 0, 1]


def test_noise_rates_name_their_noise(tmp_path: Path) -> None:
    rows = [{"rate": r, "value": 0.5} for r in (0, 0.25)]
    found = read(Imported(path=written(tmp_path, rows), columns={"noise_rate": "rate"}))
    assert found.records["noise"].to_list() == ["clean", "noise-0.25"]


def test_rows_are_kept_by_number_as_by_text(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("lr\tvalue\n1E-04\t0.5\n0.001\t0.6\n")
    found = read(Imported(path=str(path), where={"lr": 1e-4}))
    assert found.records["value"].to_list() == [0.5]
    assert found.left_out == {"rows where lr is not 0.0001": 1}


def test_what_is_empty_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\ufeffsource;1;full\na;10.5 ;Nan\nb; -;90%\n")
    wide = {"1": {"shots": 1}, "full": {"shots": "full"}}
    found = read(Imported(path=str(path), wide=wide, unit="percent"))
    assert found.records.select("source", "shots", "value").rows() == [
        ("a", "1", 0.105),
        ("b", "full", 0.9),
    ]
    assert found.left_out == {"places without a number": 2}


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        (
            LONG,
            {"columns": COLUMNS | {"size": "rpe"}},
            "no column 'rpe' (Imported.columns); did",
        ),
        (LONG, {"hyper": ("lr",)}, "has no column 'lr' (Imported.hyper); there are: src, k, rep,"),
        (LONG, {"where": {"k": "ful"}}, "no row has k = ful; did you mean 'full'?"),
        (
            LONG,
            {"unit": "share"},
            "row 1: 10 is no share of examples; say that they are in",
        ),
        (LONG, {"columns": {"source": "src"}}, "which column holds the numbers? Map 'value' to it"),
        (
            LONG,
            {"columns": COLUMNS | {"size": "src"}},
            "column 'src' (size): 'a' is no count;",
        ),
        (
            LONG,
            {"columns": COLUMNS | {"shots": "src"}},
            "(shots): 'a' is no number of shots;",
        ),
        (LONG, {"constants": {"noise_rate": 3}}, "['noise_rate']: '3' is no rate; write a share"),
        (
            [*LONG, LONG[2] | {"acc": "6O.5"}],
            {},
            "row 9, column 'acc' (value): '6O.5' is no",
        ),
        ([*LONG, LONG[2] | {"acc": 101.0, "rep": 7}], {}, "row 9: 101 is no percent of examples"),
        ([*LONG, LONG[2] | {"src": ""}], {}, "row 9, column 'src' (source): is empty; fill it in"),
        ([*LONG, LONG[2] | {"acc": "inf"}], {}, "row 9, column 'acc' (value): 'inf' is not finite"),
        ([row | {"acc": ""} for row in LONG], {}, "no row has a number; 8 places without a number"),
        ([*LONG, LONG[2] | {"acc": 9.0}], {}, "rows 3, 9 give 2 numbers for one place (source a"),
    ],
)
def test_bad_tables(tmp_path: Path, rows: Any, changes: dict[str, Any], message: str) -> None:
    rows = [{k: str(v) for k, v in row.items()} for row in rows]
    path = written(tmp_path, rows)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        read(long(tmp_path, path=path, **changes))
    assert str(error.value).startswith(path)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": {"sise": "n"}}, "a ledger has no 'sise'; did you mean 'size'?"),
        ({"constants": {"source": "web"}}, "'source' is said twice"),
        ({"wide": {"a": {"shots": 1}}}, "Imported.wide names the columns of numbers"),
        ({"repeats": "seeds"}, "Imported.repeats='seeds' numbers the seeds; leave out 'seed'"),
        ({"colums": {}}, "Imported has no field 'colums'; did you mean 'columns'?"),
    ],
)
def test_bad_specs(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        long(Path(), path="t.csv", **changes)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "cannot be read as a table"),
        ("t.csv", b"source,value\n", "the table has no row"),
        ("t.csv", b"source,value,value\na,0.1,0.2\n", "two columns are called 'value'; rename one"),
        ("t.csv", b"source,value\na,0.1,0.2\n", "cannot be read as a table"),
        ("t.csv", b"source,value\n\xff\xfe,0.1\n", "cannot be read as a table"),
        ("t.parquet", b"source,value\na,0.1\n", "is not a parquet file"),
        ("t.pkl", b"\x80\x04N.", "tables end in .csv, .tsv, .tab, .txt, .parquet; name it so"),
    ],
)
def test_what_is_no_table(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        read(Imported(path=str(tmp_path / name)))
    assert str(tmp_path / name) in str(error.value)
    assert message in str(error.value)


def test_a_missing_table_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such file; say where"):
        read(Imported(path=str(tmp_path / "results.csv")))


def test_large_tables_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By size on disk, by size in memory (parquet packs), and by entries."""
    rows = pl.DataFrame({"source": ["a" * 50] * 2000, "value": [0.5] * 2000})
    small, packed = written(tmp_path, rows.head(1)), written(tmp_path, rows, "t.parquet")
    assert Path(packed).stat().st_size < 4000
    monkeypatch.setattr(read_table, "MAX_CELLS", 3999)
    with pytest.raises(ValueError, match="2,000 rows of 2 columns, and 3,999 entries are read"):
        read(Imported(path=packed))
    monkeypatch.setattr(read_table, "MAX_BYTES", 60)
    with pytest.raises(ValueError, match=r"bytes, and 60 are read at most; leave out"):
        read(Imported(path=small))
    monkeypatch.setattr(limits, "MAX_BYTES", 10)
    with pytest.raises(ValueError, match=r"bytes, and 10 are read at most"):
        _ = Imported(path=small).content
