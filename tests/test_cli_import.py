"""``raystudy import``: from a table to a report, in one command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from raystudy.cli import app
from raystudy.cli_import import mapping, meanings, widths
from raystudy.ledger import Ledger
from raystudy.store import Store

TABLE = """set;n;lr;1;5;all
web;100;0.1;10;40;60
web;100;0.2;12;30;61
web;200;0.1;15;45;66
web;400;0.1;18;49;70
books;100;0.1;9;35;55
books;200;0.1;;39;60
"""
OPTIONS = [
    *("--map", "source=set", "--map", "size=n", "--map", "method='clip'"),
    *("--wide", "shots=1,5,all:full", "--unit", "percent", "--hyper", "lr"),
]


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    table = folder / "My results.csv"
    table.write_text(TABLE)
    command = ["import", str(table), "--store", str(folder / "runs"), *arguments]
    result = CliRunner().invoke(app, command)
    if result.exception and not isinstance(result.exception, SystemExit):
        return 2, str(result.exception)
    return result.exit_code, result.output


@pytest.mark.slow
def test_a_table_becomes_a_ledger_and_a_report(tmp_path: Path) -> None:
    code, output = run(tmp_path, *OPTIONS, "--title", "Mine", "--law", "power")
    assert code == 0, output
    assert "6 rows read, 14 cells" in output
    assert "17 numbers of sweeps: the best of each is kept, chosen on test examples" in output
    assert "left out: 1 places without a number" in output
    assert "not said, so taken as: noise clean" in output
    page = tmp_path / "runs" / "studies" / "my-results" / "report.html"
    assert f"Report: {page}" in output
    assert "<title>Mine</title>" in page.read_text()
    assert "A·x^−α" in page.read_text()
    records = Ledger(Store(tmp_path / "runs")).read()
    best = records.filter(source="web", size=100, shots="1").row(0, named=True)
    assert (best["value"], best["num_tried"], best["method"]) == (0.12, 2, "clip")
    again = run(tmp_path, *OPTIONS)[1]
    assert Ledger(Store(tmp_path / "runs")).read().equals(records)
    assert "14 cells" in again


@pytest.mark.slow
def test_what_has_no_accuracy_is_kept_all_the_same(tmp_path: Path) -> None:
    code, output = run(
        tmp_path,
        "--map",
        "source=set",
        "--map",
        "size=n",
        "--map",
        "value=5",
        *("--map", "metric='loss'", "--hyper", "lr", "--best", "lowest"),
    )
    assert code == 2
    assert "value" in output, "5 is a constant, and no column of numbers"
    code, output = run(
        tmp_path,
        *("--map", "source=set", "--map", "size=n", "--map", "metric='loss'"),
        *("--wide", "shots=all:full", "--hyper", "lr", "--best", "lowest"),
    )
    assert code == 0, output
    assert "the report draws accuracies, and has none" in " ".join(output.split())
    kept = Ledger(Store(tmp_path / "runs")).read().filter(source="web", size=100)
    assert kept["value"].to_list() == [60.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--map", "source"], "--map source: write LEDGER=COLUMN"),
        (["--map", "sauce=set"], "a ledger has no 'sauce'; did you mean 'source'?"),
        (["--wide", "shots=1,6"], "has no column '6' (Imported.wide)"),
        ([*OPTIONS, "--law", "powr"], "--law powr: no such law; did you mean 'power'?"),
        ([*OPTIONS, "--unit", "parts"], "unit"),
        (["--meaning", "set=web"], "--meaning set=web: write COLUMN=ENTRY:LEDGER=VALUE"),
        (["--where", "set"], "--where set: write COLUMN=ENTRY"),
    ],
)
def test_mistakes_are_one_clear_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    code, output = run(tmp_path, *arguments)
    assert code == 2
    assert message in output
    assert not (tmp_path / "runs" / "ledger").exists()


def test_how_options_are_read() -> None:
    columns, constants = mapping(["size=n", "method='my method'", "seed=3", 'task="1"', "shots=1 "])
    assert columns == {"size": "n"}
    assert constants == {"method": "my method", "seed": "3", "task": "1", "shots": "1"}
    assert widths(["shots=1,all:full", "adaptation=all:probe"]) == {
        "1": {"shots": "1"},
        "all": {"shots": "full", "adaptation": "probe"},
    }
    assert meanings(["m=a:b:size=1M,source=web", "m=typo:"]) == {
        "m": {"a:b": {"size": "1M", "source": "web"}, "typo": None}
    }


@pytest.mark.slow
def test_the_example_of_the_readme_runs(tmp_path: Path) -> None:
    """The table and the command that stand there."""
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    section = readme[readme.index("## Bring your own numbers") :].split("\n## ")[0]
    table, command = re.findall(r"```\n(.*?)```", section, re.DOTALL)
    (tmp_path / "results.csv").write_text(table)
    words = command.replace("\\\n", " ").split()
    assert words[:3] == ["raystudy", "import", "results.csv"]
    arguments = ["import", str(tmp_path / "results.csv"), *words[3:]]
    result = CliRunner().invoke(app, [*arguments, "--store", str(tmp_path / "runs")])
    assert result.exit_code == 0, result.output
    assert "3 rows read, 6 cells" in result.output
    assert (tmp_path / "runs" / "studies" / "results" / "report.html").exists()
