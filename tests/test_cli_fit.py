"""``raystudy fit``: any table in, a law with its doubts out; one clear line for each mistake."""

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from raystudy.cli import app
from raystudy.laws import Chinchilla, FitError, OffsetPower, fit

from .report.law_tables import compute_runs, runs
from .report.test_page import Elements

HOSTILE = "<script>alert('$x_1$')</script>&</svg>"
BASIC = ["--x", "size", "--y", "error", "--seed", "seed", "--resamples", "200"]


def raystudy(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["fit", *arguments])
    if result.exception:
        raise result.exception
    return result.stdout


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fit") / "results.csv"
    runs(seeds=3).write_csv(path)
    return path


def test_json_holds_what_the_library_says(table: Path) -> None:
    told = json.loads(raystudy(str(table), *BASIC, "--where", "source=latin", "--json"))
    own = runs(seeds=3).filter(source="latin")
    found = fit(own, OffsetPower(), x="size", y="error", seed="seed", num_resamples=200)
    arm = told["arms"]["error"]
    for name in OffsetPower.parameters:
        value, low, high = found.parameter(name)
        assert arm["parameters"][name] == pytest.approx(
            {"value": value, "low": low, "high": high, "fixed": False}, rel=1e-6
        )
    assert arm["status"] == found.status.value
    assert arm["reasons"] == list(found.reasons)
    assert arm["held_out"]["rmse_log"] == pytest.approx(found.holdout().rmse_log)
    assert arm["rolling"]["rmse_log"] == pytest.approx(found.rolling().overall)


def test_text_is_the_report_of_the_fit(table: Path) -> None:
    text = raystudy(str(table), *BASIC, "--where", "source=latin")
    own = runs(seeds=3).filter(source="latin")
    found = fit(own, OffsetPower(), x="size", y="error", seed="seed", num_resamples=200)
    assert found.report() in text


@pytest.mark.parametrize("suffix", [".tsv", ".parquet"])
def test_other_tables_are_read_alike(table: Path, suffix: str, tmp_path: Path) -> None:
    other = tmp_path / f"results{suffix}"
    frame = runs(seeds=3)
    frame.write_parquet(other) if suffix == ".parquet" else frame.write_csv(other, separator="\t")
    arguments = (*BASIC, "--by", "source", "--json")
    assert json.loads(raystudy(str(other), *arguments)) == json.loads(
        raystudy(str(table), *arguments)
    )


def test_arms_are_compared(table: Path) -> None:
    told = json.loads(raystudy(str(table), *BASIC, "--by", "source", "--json"))
    assert list(told["arms"]) == ["latin", "greek", "symbols"]
    by_name = {pair["worse"]: pair for pair in told["multipliers"]}
    # Of the known laws: greek's error at 16,000 is what latin has at this size.
    target = 0.07 + 11 * 16_000**-0.55
    truth = 16_000 / ((target - 0.06) / 14) ** (-1 / 0.6)
    assert by_name["greek"]["value"] == pytest.approx(truth, rel=0.1)
    assert by_name["greek"]["low"] < truth < by_name["greek"]["high"]


def test_an_arm_that_cannot_be_fitted_stops_no_other(tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    frame = runs(seeds=3)
    frame.filter((pl.col("source") != "greek") | (pl.col("size") < 2000)).write_csv(path)
    told = json.loads(raystudy(str(path), *BASIC, "--by", "source", "--json"))
    assert list(told["arms"]) == ["latin", "symbols"]
    assert "2 distinct x" in told["refused"]["greek"]


def test_several_inputs_a_fixed_parameter_and_another_loss(tmp_path: Path) -> None:
    path = tmp_path / "compute.csv"
    frame = compute_runs()
    frame.write_csv(path)
    arguments = ["--form", "chinchilla", "--x", "params", "--x", "tokens", "--y", "loss"]
    arguments += ["--loss", "huber", "--fix", "E=1.8", "--resamples", "0", "--json"]
    told = json.loads(raystudy(str(path), *arguments))["arms"]["loss"]["parameters"]
    found = fit(
        frame,
        Chinchilla(),
        x=["params", "tokens"],
        y="loss",
        loss="huber",
        fixed={"E": 1.8},
        num_resamples=0,
    )
    assert told["E"] == {"value": 1.8, "low": None, "high": None, "fixed": True}
    assert told["alpha"]["value"] == pytest.approx(found.parameter("alpha")[0])


def test_forms_are_ranked_by_what_was_held_out(table: Path) -> None:
    arguments = (*BASIC, "--where", "source=latin", "--compare")
    told = json.loads(raystudy(str(table), *arguments, "--json"))["arms"]["error"]["forms"]
    held = [form["held_out"] for form in told if form["held_out"] is not None]
    assert held == sorted(held)
    assert {form["form"] for form in told} >= {"Power", "OffsetPower", "Broken"}
    assert "Chinchilla" not in {form["form"] for form in told}
    assert "not for these runs: " in raystudy(str(table), *arguments)


def test_the_forms_are_listed_with_formula_and_inputs() -> None:
    listed = raystudy("--forms")
    assert "offset-power" in listed
    assert "E + A·x^−α" in listed
    assert "N, D, U" in listed
    assert "num_breaks" in listed
    assert len(listed.splitlines()) == 1 + 15


MISTAKES = {
    "a form": (["--form", "ofset-power"], "did you mean 'offset-power'"),
    "a column": (["--x", "sizes", "--y", "error"], "did you mean 'size'"),
    "the arm": ([*BASIC, "--by", "sorce"], "did you mean 'source'"),
    "a value": ([*BASIC, "--where", "source=latn"], "did you mean 'latin'"),
    "a loss": ([*BASIC, "--loss", "hubr"], "did you mean 'huber'"),
    "a field": ([*BASIC, "--set", "E_mx=3"], "did you mean 'E_max'"),
    "a field's value": ([*BASIC, "--set", "E_max=-3"], "--set E_max: "),
    "a pair": ([*BASIC, "--fix", "E"], "give NAME=VALUE"),
    "a number": ([*BASIC, "--fix", "E=little"], "not a number"),
    "a parameter": ([*BASIC, "--fix", "F=1"], "has no parameter 'F'"),
    "inputs": (["--form", "chinchilla", *BASIC], "has the inputs N, D, and --x names 1"),
    "text": (["--x", "source", "--y", "error"], "'source' holds something that is no number"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_the_way_out(table: Path, mistake: str) -> None:
    arguments, expected = MISTAKES[mistake]
    with pytest.raises(ValueError, match=re.escape(expected)) as caught:
        raystudy(str(table), *arguments)
    assert "\n" not in str(caught.value)


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.csv: no such file"):
        raystudy(str(tmp_path / "nothing.csv"))
    for name, content, expected in (
        ("a.pkl", b"\x80\x04", "a table ends in"),
        ("a.parquet", b"PAR1 not at all", "cannot be read as a table"),
        ("a.csv", b"x,y\n", "has no row below its header"),
        ("b.csv", b"", "cannot be read as a table"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ValueError, match=expected):
            raystudy(str(path), "--x", "x")


def test_gaps_are_named(tmp_path: Path) -> None:
    path = tmp_path / "gaps.csv"
    path.write_text("x,y\n1,0.5\n2,NA\n3,0.3\n4,0.2\n")
    with pytest.raises(FitError, match=r"'y' must be finite; leave out the rows .* \[1\]"):
        raystudy(str(path), "--x", "x")


@pytest.mark.slow
def test_the_page_holds_figures_and_their_numbers(table: Path, tmp_path: Path) -> None:
    raystudy(str(table), *BASIC, "--by", "source", "--compare", "--out", str(tmp_path / "out"))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    figures = ("held-out", "residuals", "profiles", "multiplier-bars", "frontier")
    assert names == {
        "report.html",
        "parameters.csv",
        "forms.csv",
        *(f"{figure}.{suffix}" for figure in figures for suffix in ("csv", "svg", "pdf")),
    }
    parameters = pl.read_csv(tmp_path / "out" / "parameters.csv")
    own = runs(seeds=3).filter(source="greek")
    found = fit(own, OffsetPower(), x="size", y="error", seed="seed", num_resamples=200)
    row = parameters.row(by_predicate=(pl.col("arm") == "greek") & (pl.col("parameter") == "A"))
    assert row[2:5] == pytest.approx(found.parameter("A"), rel=1e-6)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "://" not in page
    for word in ("nan", "inf ", "None"):
        assert word not in Elements(page).text


@pytest.mark.slow
def test_names_from_a_table_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "wild.csv"
    frame = runs(seeds=2).filter(pl.col("source") != "symbols")
    frame = frame.with_columns(pl.col("source").replace("latin", HOSTILE))
    frame.rename({"size": HOSTILE}).write_csv(path)
    raystudy(
        str(path), "--x", HOSTILE, "--y", "error", "--seed", "seed", "--by", "source",
        "--resamples", "50", "--out", str(tmp_path / "out"),
    )  # fmt: skip
    page = Elements((tmp_path / "out" / "report.html").read_text())
    assert "script" not in {tag for tag, _ in page.found}
    assert page.text.count(HOSTILE) > 5


@pytest.mark.slow
def test_equal_compute_is_drawn_of_parameters_and_data(tmp_path: Path) -> None:
    path = tmp_path / "compute.csv"
    compute_runs().write_csv(path)
    arguments = ["--form", "chinchilla", "--x", "params", "--x", "tokens", "--y", "loss"]
    arguments += ["--loss", "huber", "--resamples", "40", "--out", str(tmp_path / "out")]
    raystudy(str(path), *arguments)
    numbers = pl.read_csv(tmp_path / "out" / "isoflop.csv")
    assert set(numbers["kind"]) == {"curve", "minimum", "run"}
    paid = pl.read_csv(tmp_path / "out" / "frontier.csv")
    frame = compute_runs()
    assert np.sort(paid["cost"].to_numpy()) == pytest.approx(
        np.sort(6 * frame["params"].to_numpy() * frame["tokens"].to_numpy())
    )
