"""``raystudy fit``: a law fitted to anybody's table, told with its doubts, drawn if asked."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    import polars as pl

    from raystudy.kinds import Law

out = Console(highlight=False)
PLAIN: dict[str, Any] = {"markup": False, "soft_wrap": True}
LOSSES = ("y", "log", "log1p", "probit", "huber")
SUFFIXES = (".csv", ".tsv", ".parquet")
MAX_BYTES = 256 << 20
NOTHING = ["", "NA", "N/A", "nan", "NaN", "null", "None"]
"""What tables write where there is no number."""
MOST_ARMS = 100

Texts = list[str] | None


def fit(
    table: Annotated[
        Path | None, typer.Argument(help="A table: .csv, .tsv or .parquet, one run a row.")
    ] = None,
    form: Annotated[str, typer.Option(help="A name from --forms.")] = "offset-power",
    x: Annotated[
        Texts, typer.Option("--x", help="A column for each input of the form, in their order.")
    ] = None,
    y: Annotated[str, typer.Option("--y", help="The column of the error or loss.")] = "y",
    seed: Annotated[str | None, typer.Option(help="Column of the seed: seeds cross sizes.")] = None,
    run: Annotated[
        str | None, typer.Option(help="Column of the training that rows are checkpoints of.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Column of the arm: a law for each.")] = None,
    where: Annotated[Texts, typer.Option(help="COLUMN=VALUE: keep these rows. Repeatable.")] = None,
    loss: Annotated[
        str | None, typer.Option(help=f"{', '.join(LOSSES)}; default: the form's own.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help='A column, or "seed variance" for 1/variance of equal x.')
    ] = None,
    fix: Annotated[Texts, typer.Option(help="PARAMETER=NUMBER: not fitted. Repeatable.")] = None,
    settings: Annotated[
        Texts, typer.Option("--set", help="FIELD=VALUE of the form (--forms). Repeatable.")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Rank all forms of as many inputs beside it.")
    ] = False,
    holdout: Annotated[
        float, typer.Option(min=0.01, max=0.99, help="Hold out x beyond this share of the largest.")
    ] = 0.5,
    coverage: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of intervals.")] = 0.95,
    resamples: Annotated[int, typer.Option(min=0, help="0: no intervals.")] = 1000,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Write a page with figures into this folder.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of text.")] = False,
    forms: Annotated[bool, typer.Option("--forms", help="List the forms and stop.")] = False,
) -> None:
    """Fit a law to a table of runs: its parameters with intervals, what is doubtful about it, and
    what it says of the largest sizes without having seen them."""
    every = law_forms()
    if forms:
        _print_forms(every)
        return
    if table is None:
        raise ValueError("fit needs a table, as in: raystudy fit results.csv --x size --y error")
    law = _law(every[_known(form, every, "form")], _pairs(settings, "--set"), strict=True)
    if loss is not None:
        _known(loss, LOSSES, "loss")
    inputs = x or list(law.inputs)
    if len(inputs) != len(law.inputs):
        raise ValueError(
            f"{form} has the inputs {', '.join(law.inputs)}, and --x names {len(inputs)}: give one "
            "for each, in this order"
        )
    frame = _kept(read(table), _pairs(where, "--where"), table)
    weighed = None if weights == "seed variance" else weights
    for column in filter(None, (*inputs, y, seed, run, by, weighed)):
        _known(column, frame.columns, f"column of {table}")
    others = _of_as_many_inputs(every, law, _pairs(settings, "--set")) if compare else []

    from raystudy.fit_text import as_json_text, as_text
    from raystudy.report.fitted_table import fitted_table

    found = fitted_table(
        _arms(frame, by, y),
        law,
        inputs,
        y,
        others=others,
        fraction=holdout,
        seed=seed,
        run=run,
        weights=weights,
        loss=loss,
        fixed={name: _float(text, f"--fix {name}") for name, text in _pairs(fix, "--fix").items()},
        num_resamples=resamples,
        coverage=coverage,
    )
    typer.echo(as_json_text(found) if as_json else as_text(found, holdout))
    if folder is not None:
        from raystudy.report.fit_page import write_fit_page

        facts = {"table": table.name, "rows": frame.height, "form": form}
        page = write_fit_page(found, folder, f"{y} of {table.name}", facts)
        if not as_json:
            out.print(f"Page: {page}", **PLAIN)


def law_forms() -> dict[str, type[Law]]:
    """Every form of the package by the name of its class, in lower case with dashes."""
    import pkgutil
    import re
    from importlib import import_module

    from raystudy import laws
    from raystudy.kinds import Law

    found: dict[str, type[Law]] = {}
    for info in pkgutil.iter_modules(laws.__path__):
        module = import_module(f"raystudy.laws.{info.name}")
        for name, cls in vars(module).items():
            if not (inspect.isclass(cls) and issubclass(cls, Law)):
                continue
            if cls.__module__ == module.__name__ and not inspect.isabstract(cls):
                found[re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()] = cls
    return dict(sorted(found.items()))


def read(path: Path) -> pl.DataFrame:
    """Raises FileNotFoundError and ValueError, naming the file, for what is no table."""
    import polars as pl

    suffix = path.suffix.lower()
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if suffix not in SUFFIXES:
        raise ValueError(f"{path}: a table ends in {', '.join(SUFFIXES)}")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path} has more than {MAX_BYTES:,} bytes; leave out what is not fitted")
    try:
        if suffix == ".parquet":
            frame = pl.read_parquet(path)
        else:
            separator = "\t" if suffix == ".tsv" else ","
            frame = pl.read_csv(
                path, separator=separator, infer_schema_length=None, null_values=NOTHING
            )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ValueError(
            f"{path} cannot be read as a table: {str(error).splitlines()[0]}"
        ) from error
    if frame.is_empty():
        raise ValueError(f"{path} has no row below its header")
    return frame


def _kept(frame: pl.DataFrame, where: Mapping[str, str], table: Path) -> pl.DataFrame:
    """Rows whose columns have these values, as text or as numbers."""
    import polars as pl

    for column, value in where.items():
        _known(column, frame.columns, f"column of {table}")
        values = frame[column]
        if values.dtype.is_numeric():
            rows = values == _float(value, f"--where {column}")
        else:
            rows = values.cast(pl.String) == value
        if not rows.any():
            known = sorted({str(v) for v in values.unique().to_list()})
            near = _near(value, known) or f"it has: {', '.join(known[:8])}"
            raise ValueError(f"no row of {table} has {column} '{value}'; {near}")
        frame = frame.filter(rows)
    return frame


def _arms(frame: pl.DataFrame, by: str | None, y: str) -> dict[str, pl.DataFrame]:
    """One table for each value of ``by``; the whole is called as what it measures."""
    if by is None:
        return {y: frame}
    parts = frame.partition_by(by, maintain_order=True)
    if len(parts) > MOST_ARMS:
        raise ValueError(
            f"--by {by} makes {len(parts)} arms, and {MOST_ARMS} are fitted at most; choose with "
            "--where"
        )
    return {str(part[by][0]): part for part in parts}


def _law(cls: type[Law], given: Mapping[str, str], *, strict: bool) -> Law:
    """A form with its fields as ``--set`` has them; if not ``strict``, those that it has."""
    from pydantic import ValidationError

    for name in given if strict else ():
        _known(name, cls.model_fields, f"field of {cls.__name__}")
    try:
        return cls(**{name: value for name, value in given.items() if name in cls.model_fields})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"--set {where}: {first['msg'].lower()}") from error


def _of_as_many_inputs(
    every: Mapping[str, type[Law]], law: Law, given: Mapping[str, str]
) -> list[Law]:
    laws = [_law(cls, given, strict=False) for cls in every.values()]
    return [other for other in laws if len(other.inputs) == len(law.inputs)]


def _pairs(texts: Sequence[str] | None, flag: str) -> dict[str, str]:
    found = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise ValueError(f"{flag} {text}: give NAME=VALUE")
        found[name] = value
    return found


def _float(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{what}={text}: not a number") from None


def _known(name: str, known: Iterable[str], what: str) -> str:
    """``name``, or a ValueError with the nearest that there is."""
    known = list(known)
    if name in known:
        return name
    hint = _near(name, known) or f"there are: {', '.join(known) or 'none'}"
    raise ValueError(f"no {what} is called '{name}'; {hint}")


def _near(name: str, known: Sequence[str]) -> str:
    lower = {other.lower().replace("_", "-"): other for other in known}
    near = difflib.get_close_matches(name.lower().replace("_", "-"), lower, 1, 0.5)
    return f"did you mean '{lower[near[0]]}'?" if near else ""


def _print_forms(every: Mapping[str, type[Law]]) -> None:
    table = Table("form", "y", "inputs", "parameters", "--set", box=None, pad_edge=False)
    for name, cls in every.items():
        law = cls()
        fields = ", ".join(cls.model_fields)
        table.add_row(name, law.name, ", ".join(law.inputs), ", ".join(law.parameters), fields)
    wide = Console(highlight=False, width=max(out.width, 140)) if not out.is_terminal else out
    wide.print(table)
