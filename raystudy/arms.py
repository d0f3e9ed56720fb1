"""What a study compares by law: the arms of its headline setting, run or not.

The setting is the one that its report draws curves of: the first task, architecture, method and
adaptation, at the shots nearest to ten. Arms are its sources with clean data, and the noises of the
source that is corrupted in most cells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeVar

import numpy as np
import polars as pl

from raystudy.laws.arrays import Doubles
from raystudy.spec import FULL, Cell, Pretraining, Study

T = TypeVar("T", int, str)
CLEAN = "clean"
HEADLINE_SHOTS = 10
BACKBONE = ("method", "source", "size", "noise", "architecture")
"""The axes that make a backbone another, but for its seed."""


@dataclass(frozen=True)
class Arm:
    """One curve: a source, or a noise on a source; its cells, and which of them are finished."""

    source: str
    noise: str
    cells: tuple[Cell, ...]
    errors: dict[str, float]
    """Cell → test error in [0, 1], of those that are finished."""

    @property
    def name(self) -> str:
        return self.source if self.noise == CLEAN else f"{self.source} {self.noise}"

    @property
    def finished(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.key in self.errors]

    @property
    def sizes(self) -> list[int]:
        """That were run, ascending."""
        return sorted({size_of(cell) for cell in self.finished})

    @property
    def missing_sizes(self) -> list[int]:
        return sorted({size_of(cell) for cell in self.cells} - set(self.sizes))

    @property
    def runs(self) -> tuple[Doubles, Doubles, np.ndarray]:
        """Sizes, errors and seeds of what is finished, (M,) each."""
        done = self.finished
        sizes, seeds = [size_of(cell) for cell in done], [cell.seed for cell in done]
        errors = [self.errors[cell.key] for cell in done]
        return np.array(sizes, dtype=np.float64), np.array(errors), np.array(seeds, dtype=np.int64)


def arms(study: Study, cells: Sequence[Cell], records: pl.DataFrame) -> list[Arm]:
    """Those of the headline setting, sources first, in the order of the study; none where nothing
    is pre-trained. ``cells`` are the study's, ``records`` what ``Ledger.read`` returns of them."""
    grids = [grid for grid in study.grids if grid.methods]
    trained = [c for c in cells if isinstance(c.backbone, Pretraining) and c.shots is not None]
    if not trained:
        return []
    first = trained[0]
    trained = [
        cell
        for cell in trained
        if isinstance(cell.backbone, Pretraining)
        and cell.task == grids[0].tasks[0]
        and cell.backbone.method == grids[0].methods[0]
        and cell.backbone.architecture == grids[0].architectures[0]
        and cell.axes()["adaptation"] == first.axes()["adaptation"]
    ]
    few = headline_shots(int(c.shots) for c in trained if c.shots not in (FULL, None))
    by_arm: dict[tuple[str, str], list[Cell]] = {}
    for cell in trained:
        if cell.shots == few:
            axes = cell.axes()
            by_arm.setdefault((axes["source"], axes["noise"]), []).append(cell)
    corrupted = Counter({s: 0 for s, _ in by_arm})
    for (source, noise), own in by_arm.items():
        corrupted[source] += len(own) if noise != CLEAN else 0
    most = corrupted.most_common(1)[0][0]
    errors = _errors(records)
    found = [
        Arm(s, n, tuple(own), {c.key: errors[c.key] for c in own if c.key in errors})
        for (s, n), own in by_arm.items()
        if n == CLEAN or s == most
    ]
    return sorted(found, key=lambda arm: arm.noise != CLEAN)


def headline_shots(counts: Iterable[T]) -> T | Literal["full"]:
    """The one of ``counts`` (1, "5", …) nearest to ten examples per class, the smaller of two."""
    return min(sorted(counts, key=int), key=lambda n: abs(int(n) - HEADLINE_SHOTS), default=FULL)


def pairs(found: Sequence[Arm]) -> list[tuple[Arm, Arm]]:
    """Arms whose data is compared: clean sources with each other, and with noises of their own."""
    return [
        (a, b)
        for a, b in combinations(found, 2)
        if a.noise == CLEAN and (b.noise == CLEAN or b.source == a.source)
    ]


def size_of(cell: Cell) -> int:
    assert isinstance(cell.backbone, Pretraining)
    return cell.backbone.size


def place_of(cell: Cell) -> tuple[str | int, ...]:
    """What names a cell's backbone in the ledger, but for its seed (``BACKBONE``)."""
    axes = cell.backbone.axes()
    return tuple(axes[name] for name in BACKBONE)


def _errors(records: pl.DataFrame) -> dict[str, float]:
    rows = records.filter(pl.col("metric") == "accuracy", pl.col("split") == "test")
    return dict(rows.select("cell", 1 - pl.col("value")).iter_rows())
