"""Tables that others made, as part of a study: how their columns say what a ledger says."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from raystudy.kinds import Spec

Value = str | int | float
Unit = Literal["share", "percent", "error", "error-percent"]
AXES: dict[str, Value] = {
    "method": "imported",
    "source": "imported",
    "size": 0,
    "noise": "clean",
    "noise_rate": 0.0,
    "architecture": "imported",
    "task": "imported",
    "adaptation": "imported",
    "shots": "full",
    "seed": 0,
    "split": "test",
    "metric": "accuracy",
}
"""What a table may say of a number, as columns of the ledger, and what is taken where it does not.
A backbone that saw no data has method or source "none"."""
FACTS = ("realised_noise", "num_train", "num_tried", "seconds")
"""What a table may say beside; left empty where it does not."""
MAX_BYTES = 256 << 20
"""Of a table, on disk and in memory."""


class Imported(Spec):
    """A table of results (.csv, .tsv, .parquet), one number a row or several (``wide``).

    What it holds is its identity (``content``), where it lies is not. A column that is called as
    one of the ledger (``AXES``, ``FACTS``, ``value``) needs no entry in ``columns``.
    """

    elsewhere: ClassVar[frozenset[str]] = frozenset({"path"})
    path: str
    columns: Mapping[str, str] = {}
    """Of the ledger → of the table: ``{"size": "pretrain_samples", "value": "top1"}``."""
    constants: Mapping[str, Value] = {}
    """Of the ledger → what holds for the whole table: ``{"method": "clip"}``."""
    meanings: Mapping[str, Mapping[str, Mapping[str, Value] | None]] = {}
    """Column of the table → each of its values → what that says: ``{"model": {"rn50-1m":
    {"architecture": "RN50", "size": 1_000_000}}}``; None leaves its rows out."""
    wide: Mapping[str, Mapping[str, Value]] = {}
    """Columns that hold numbers → what that says of them, whatever is said elsewhere; in place of a
    column for ``value``: ``{"1": {"shots": 1}, "all": {"shots": "full"}}``."""
    where: Mapping[str, Value] = {}
    """Keep the rows in which these columns have these values."""
    unit: Unit = "share"
    """Of accuracies: a share or percent of all examples, right or wrong ("error"). Other metrics
    are kept as they are."""
    hyper: tuple[str, ...] = ()
    """Columns of hyper-parameters: rows that differ in nothing else are a sweep, of which the best
    is kept; chosen on validation examples where the table has them, else on test."""
    validation: str | None = None
    """The column with the same number on validation examples (or say ``split`` in ``wide``)."""
    best: Literal["highest", "lowest"] | None = None
    """Of a sweep of which no accuracy is known."""
    selection: Literal["validation", "test"] | None = None
    """Where those who made the table chose, if it holds nothing but what they chose."""
    repeats: Literal["refused", "tried", "seeds"] = "refused"
    """Rows that differ in nothing but their number: an error, further tries of a sweep, or seeds,
    numbered as they come."""

    @model_validator(mode="after")
    def _says_each_once(self) -> Self:
        known = (*AXES, *FACTS, "value")
        said: dict[str, str] = {}
        for field, name in self._said():
            if name not in known or (name == "value" and field != "columns"):
                raise ValueError(
                    f"Imported.{field}: a ledger has no '{name}'; {nearest(name, known)}"
                )
            if field != "wide" and said.setdefault(name, field) != field:
                raise ValueError(f"'{name}' is said twice, in Imported.{said[name]} and .{field}")
        if self.wide and "value" in self.columns:
            raise ValueError("Imported.wide names the columns of numbers; leave out 'value'")
        if self.validation and ("split" in said or self.wide):
            raise ValueError("name the column of validation in Imported.wide, as a 'split'")
        if self.repeats == "seeds" and ("seed" in said or "seed" in self.said_by_width()):
            raise ValueError("Imported.repeats='seeds' numbers the seeds; leave out 'seed'")
        return self

    @cached_property
    def content(self) -> str:
        """A digest of its bytes. Raises FileNotFoundError, and ValueError beyond ``MAX_BYTES``."""
        path = Path(self.path)
        if not path.is_file():
            raise FileNotFoundError(f"Imported.path={self.path}: no such file; say where it is")
        if (size := path.stat().st_size) > MAX_BYTES:
            raise ValueError(
                f"{self.path}: {size:,} bytes, and {MAX_BYTES:,} are read at most; "
                "leave out what the study does not ask for"
            )
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=10)).hexdigest()

    def said_by_values(self) -> dict[str, str]:
        """Of the ledger → the column of the table whose ``meanings`` say it."""
        return {name: column for column in self.meanings for name in self._of_column(column)}

    def said_by_width(self) -> set[str]:
        return {name for says in self.wide.values() for name in says}

    def _of_column(self, column: str) -> list[str]:
        return list(dict.fromkeys(n for says in self.meanings[column].values() for n in says or ()))

    def _said(self) -> Iterator[tuple[str, str]]:
        yield from (("columns", name) for name in self.columns)
        yield from (("constants", name) for name in self.constants)
        yield from (
            (f"meanings[{c!r}]", name) for c in self.meanings for name in self._of_column(c)
        )
        yield from (("wide", name) for name in sorted(self.said_by_width()))


def nearest(name: str, known: Iterable[str]) -> str:
    """The way out for a name that is not among ``known``."""
    known = list(known)
    close = difflib.get_close_matches(name, known, 1)
    return f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(known) or 'none'}"
