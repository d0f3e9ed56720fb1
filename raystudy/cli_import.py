"""``raystudy import``: a ledger, and its report, from a table that others made."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from raystudy.cli_fit import law_forms
from raystudy.imported import AXES, Imported, Value, nearest
from raystudy.store import Store

if TYPE_CHECKING:
    from raystudy.imports import Read
    from raystudy.kinds import Law

out = Console(highlight=False)
QUOTES = "'\""


def import_table(
    table: Annotated[Path, typer.Argument(help="A table of results: .csv, .tsv or .parquet.")],
    name: Annotated[str, typer.Option(help="Of the study: lower case, digits, - and _.")] = "",
    maps: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="LEDGER=COLUMN, or LEDGER='constant' or LEDGER=1 for the whole table. Columns "
            "that are called as the ledger's need none.",
        ),
    ] = None,
    wide: Annotated[
        list[str] | None,
        typer.Option(
            help="LEDGER=COLUMN,…: columns that hold numbers, called as what they say; "
            "COLUMN:VALUE for what they say otherwise. As in shots=1,5,all:full."
        ),
    ] = None,
    meaning: Annotated[
        list[str] | None,
        typer.Option(
            help="COLUMN=ENTRY:LEDGER=VALUE,…: what an entry says, as in "
            "model=rn50-1m:architecture=RN50,size=1M; nothing after the colon leaves it out."
        ),
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="COLUMN=ENTRY: keep only these rows.")
    ] = None,
    unit: Annotated[
        str, typer.Option(help="Of accuracies: share, percent, error or error-percent.")
    ] = "share",
    hyper: Annotated[
        list[str] | None,
        typer.Option(help="COLUMN,…: hyper-parameters, of whose settings the best is kept."),
    ] = None,
    validation: Annotated[
        str | None, typer.Option(help="The column with the same number on validation examples.")
    ] = None,
    selection: Annotated[
        str | None, typer.Option(help="Where the table's makers chose: validation or test.")
    ] = None,
    best: Annotated[
        str | None, typer.Option(help="Of a sweep without accuracies: highest or lowest.")
    ] = None,
    repeats: Annotated[
        str, typer.Option(help="Rows alike but for their number: refused, tried or seeds.")
    ] = "refused",
    title: Annotated[str, typer.Option(help="Of the report.")] = "",
    law: Annotated[str, typer.Option(help="Fitted over sizes: offset-power, power, …")] = "",
    store: Annotated[
        str, typer.Option("--store", envvar="RAYSTUDY_STORE", help="Folder or URL of all results.")
    ] = "runs",
) -> None:
    """Make a ledger of a table that others made, and draw its report.

    The ledger's columns: method, source, size, noise, noise_rate, architecture, task, adaptation,
    shots, seed, split, metric, value."""
    from raystudy.drawn import report
    from raystudy.imports import read
    from raystudy.live import LiveTable
    from raystudy.spec import Study

    columns, constants = mapping(maps or [])
    spec = Imported.model_validate(
        {
            "path": str(table),
            "columns": columns,
            "constants": constants,
            "wide": widths(wide or []),
            "meanings": meanings(meaning or []),
            "where": dict(_pair(text, "--where", "COLUMN=ENTRY") for text in where or []),
            "unit": unit,
            "hyper": tuple(c for text in hyper or [] for c in text.split(",")),
            "validation": validation,
            "selection": selection,
            "best": best,
            "repeats": repeats,
        }
    )
    study = Study(
        name=name or _name(table),
        title=title or table.stem,
        tables=(spec,),
        law=_law(law) if law else None,
    )
    found = read(spec)
    print_read(found)
    with LiveTable(out) as live:
        page = report(study, Store(store), live, force=True, imported=[found])
    if page is None:
        out.print(f"In the ledger of {escape(store)}; the report draws accuracies, and has none.")
    else:
        out.print(f"Report: {page}", soft_wrap=True, markup=False)


def mapping(texts: Iterable[str]) -> tuple[dict[str, str], dict[str, Value]]:
    """``--map`` as columns and constants. Raises ValueError."""
    columns: dict[str, str] = {}
    constants: dict[str, Value] = {}
    for text in texts:
        name, value = _pair(text, "--map", "LEDGER=COLUMN")
        if name in columns or name in constants:
            raise ValueError(f"--map {name} is given twice; give it once")
        if value[:1] in QUOTES and value[-1:] == value[:1] and len(value) > 1:
            constants[name] = value[1:-1]
        elif _is_number(value):
            constants[name] = value
        else:
            columns[name] = value
    return columns, constants


def widths(texts: Iterable[str]) -> dict[str, dict[str, Value]]:
    """``--wide``: column → what it says. Raises ValueError."""
    found: dict[str, dict[str, Value]] = {}
    for text in texts:
        name, columns = _pair(text, "--wide", "LEDGER=COLUMN,COLUMN:VALUE")
        for entry in columns.split(","):
            column, _, value = entry.partition(":")
            found.setdefault(column, {})[name] = value or column
    return found


def meanings(texts: Iterable[str]) -> dict[str, dict[str, dict[str, Value] | None]]:
    """``--meaning``: column → entry → what it says. Raises ValueError."""
    shape = "COLUMN=ENTRY:LEDGER=VALUE"
    found: dict[str, dict[str, dict[str, Value] | None]] = {}
    for text in texts:
        column, rest = _pair(text, "--meaning", shape)
        entry, colon, says = rest.rpartition(":")
        if not colon:
            raise ValueError(f"--meaning {text}: write {shape}")
        pairs = [_pair(part, "--meaning", shape) for part in says.split(",") if part]
        found.setdefault(column, {})[entry] = dict(pairs) or None
    return found


def print_read(found: Read) -> None:
    """What a table held, what was left out, and why."""
    records = found.records
    axes = Table("of", "how many", "which", box=None, pad_edge=False)
    for axis in ("task", "method", "source", "size", "noise", "architecture", "shots", "seed"):
        values = [str(v) for v in records[axis].unique(maintain_order=True)]
        some = ", ".join(values[:8]) + (", …" if len(values) > 8 else "")
        axes.add_row(axis, f"{len(values):,}", escape(some))
    out.print(f"{found.num_rows:,} rows read, {len(found.cells):,} cells", soft_wrap=True)
    out.print(axes)
    if found.num_tried > len(found.records):
        out.print(
            f"{found.num_tried:,} numbers of sweeps: the best of each is kept, chosen on "
            f"{found.selection} examples",
            soft_wrap=True,
        )
    lines = [f"left out: {number:,} {reason}" for reason, number in found.left_out.items()]
    if found.assumed:
        taken = ", ".join(f"{name} {AXES[name]}" for name in found.assumed)
        lines.append(f"not said, so taken as: {taken}")
    if found.unread:
        lines.append(f"not read, though rows differ in it: {', '.join(found.unread)}")
    for line in lines:
        out.print(f"[yellow]{escape(line)}[/yellow]", soft_wrap=True)


def _pair(text: str, option: str, shape: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise ValueError(f"{option} {text}: write {shape}")
    return name.strip(), value.strip()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _name(table: Path) -> str:
    """Of a study, after its table."""
    plain = "".join(c if c.isascii() and c.isalnum() else "-" for c in table.stem.lower())
    return plain.strip("-") or "imported"


def _law(name: str) -> Law:
    laws = law_forms()
    wanted = name if name in laws else _dashed(name)
    if wanted not in laws:
        raise ValueError(f"--law {name}: no such law; {nearest(name, laws)}")
    return laws[wanted]()


def _dashed(name: str) -> str:
    """OffsetPower as offset-power."""
    spaced = "".join(f"-{c}" if c.isupper() else c for c in name).lower()
    return spaced.strip("-").replace("_", "-")
