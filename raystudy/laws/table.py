"""Anybody's table as runs: columns by name from polars, pandas or a dictionary, or plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from raystudy.kinds import Integers, Law
from raystudy.laws.arrays import Doubles, columns
from raystudy.laws.losses import Loss
from raystudy.laws.status import FitError

Column = str | ArrayLike
BY_SEED_VARIANCE = "seed variance"
PRIOR_DEGREES = 4.0
"""How many runs' worth of the pooled variance each group's own is shrunk with."""


@dataclass(frozen=True, eq=False)
class Runs:
    """M runs: x (M,) or (M, K), y (M,), how much each counts (M,), and to which unit it belongs
    (M,): what is drawn together in a resample."""

    x: Doubles
    y: Doubles
    weights: Doubles
    unit: Integers
    units: Literal["seeds", "runs", "residuals"]
    """Seeds cross all sizes; runs are several rows each, as checkpoints are; rows that are
    independent have their residuals resampled."""

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: Integers | np.ndarray) -> Runs:
        parts = (self.x[rows], self.y[rows], self.weights[rows], self.unit[rows])
        return replace(self, **dict(zip(("x", "y", "weights", "unit"), parts, strict=True)))

    def input(self, index: int) -> Doubles:
        return columns(self.x)[index]


def read(
    table: Any,
    law: Law,
    loss: Loss,
    x: Column | Sequence[Column] | None,
    y: Column,
    seed: Column | None,
    run: Column | None,
    weights: Column | None,
) -> Runs:
    """The runs of a table. Raises FitError, naming the column, for what is missing or amiss."""
    values = [_numbers(table, column, name) for name, column in _inputs(law, x)]
    observed = _numbers(table, y, "y")
    if len({len(v) for v in (*values, observed)}) > 1:
        lengths = [len(v) for v in (*values, observed)]
        raise FitError(f"x and y must hold one entry a run; their lengths are {lengths}")
    points = values[0] if len(values) == 1 else np.stack(values, axis=1)
    if not np.isfinite(loss.forward(observed)).all():
        raise FitError(
            f"y has values that a loss on scale '{loss.scale}' has no place for (the least is "
            f"{observed.min():g}, the largest {observed.max():g}); leave them out or take loss='y'"
        )
    try:
        law.check(points, observed)
    except ValueError as error:
        raise FitError(f"{law.name}: {error}") from error
    units, unit = _units(table, seed, run, len(observed))
    given = np.ones(len(observed))
    if isinstance(weights, str) and weights == BY_SEED_VARIANCE:
        given = variance_weights(points, loss.forward(observed))
    elif weights is not None:
        given = _numbers(table, weights, "weights")
        if len(given) != len(observed) or (given < 0).any() or not given.any():
            raise FitError("weights must be one a run, not negative, and not all 0")
    return Runs(points, observed, given / given.mean(), unit, units)


def variance_weights(x: Doubles, values: Doubles) -> Doubles:
    """1/variance of the runs at the same x, shrunk to the pooled one: few seeds know their own
    variance badly, and one that is small by chance must not take the fit over. (M,)

    Raises FitError if no x has two runs.
    """
    _, at = np.unique(x, axis=0, return_inverse=True)
    at = at.ravel()
    count = np.bincount(at)
    mean = np.bincount(at, values) / count
    squares = np.bincount(at, (values - mean[at]) ** 2)
    degrees = count - 1
    if not degrees.sum() or not squares.sum():
        raise FitError("weights by seed variance need several runs, that differ, at the same x")
    pooled = squares.sum() / degrees.sum()
    shrunk = (squares + PRIOR_DEGREES * pooled) / (degrees + PRIOR_DEGREES)
    return 1 / shrunk[at]


def _inputs(law: Law, x: Column | Sequence[Column] | None) -> list[tuple[str, Column]]:
    names = law.inputs
    if x is None:
        return [(name, name) for name in names]
    if len(names) == 1 and (isinstance(x, str) or not _holds_columns(x)):
        return [(names[0], x)]  # type: ignore[list-item]
    given: Any = [x] if isinstance(x, str) else x
    given = list(given) if _holds_columns(given) else columns(np.asarray(given))
    if len(given) != len(names):
        raise FitError(f"{law.name} has inputs {list(names)}; x names {len(given)}")
    return list(zip(names, given, strict=True))


def _holds_columns(x: Any) -> bool:
    return isinstance(x, list | tuple) and any(isinstance(v, str | np.ndarray) for v in x)


def _numbers(table: Any, column: Column, role: str) -> Doubles:
    named = f"'{column}'" if isinstance(column, str) else role
    try:
        values = np.asarray(_column(table, column), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise FitError(f"column {named} holds something that is no number: {error}") from error
    if values.ndim != 1 or not len(values):
        raise FitError(f"column {named} must be a list of numbers; its shape is {values.shape}")
    if not np.isfinite(values).all():
        rows = np.flatnonzero(~np.isfinite(values))[:5].tolist()
        raise FitError(f"column {named} must be finite; leave out the rows without it, as {rows}")
    return values


def _column(table: Any, column: Column) -> Any:
    if not isinstance(column, str):
        return column
    if table is None:
        raise FitError(f"there is no table to take column '{column}' from")
    names = list(table.columns) if hasattr(table, "columns") else list(table)
    if column not in names:
        raise FitError(f"the table has no column '{column}'; it has {names}")
    return table[column]


def _units(
    table: Any, seed: Column | None, run: Column | None, num_rows: int
) -> tuple[Literal["seeds", "runs", "residuals"], Integers]:
    if seed is not None and run is not None:
        raise FitError("give seed (it crosses sizes) or run (rows of one training), not both")
    column = seed if seed is not None else run
    if column is None:
        return "residuals", np.arange(num_rows)
    labels = np.asarray(_column(table, column))
    if labels.shape != (num_rows,):
        raise FitError(f"seed or run must hold one label a row; its shape is {labels.shape}")
    unit = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    return ("seeds" if seed is not None else "runs"), unit
