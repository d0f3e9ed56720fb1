"""What figures of laws are drawn from: the fit of each arm, and the same law fitted again without
the largest sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raystudy.laws.arrays import Doubles
from raystudy.laws.fit import fit_runs
from raystudy.laws.fitted import Fit
from raystudy.laws.holdout import Holdout
from raystudy.laws.status import FitError

FRACTION = 0.5
"""Of the largest size: runs beyond it are held out."""


@dataclass(frozen=True)
class Words:
    """How the axes of figures are called."""

    inputs: tuple[str, ...]
    """One for each input of the law."""
    output: str
    percent: bool = False
    """The output is a share, and shown in %."""

    @property
    def factor(self) -> float:
        return 100.0 if self.percent else 1.0

    @property
    def output_label(self) -> str:
        return f"{self.output} (%)" if self.percent else self.output


@dataclass(frozen=True, eq=False)
class LawArm:
    """One arm: its fit; what that says of the runs it had not seen; and the fit that says it."""

    name: str
    fit: Fit
    holdout: Holdout | None = None
    seen: Fit | None = None
    refusal: str = ""
    """Why nothing is held out."""

    @property
    def x(self) -> Doubles:
        """Inputs of its runs, (M, K)."""
        assert self.fit.runs is not None
        return self.fit.runs.x.reshape(len(self.fit.runs), -1)

    @property
    def y(self) -> Doubles:
        assert self.fit.runs is not None
        return self.fit.runs.y


def law_arm(name: str, fit: Fit, fraction: float = FRACTION) -> LawArm:
    """``fit`` keeps its runs (``raystudy.laws.fit.fit``); those with the first input beyond
    ``fraction`` of the largest are held out, if the others suffice."""
    assert fit.runs is not None
    assert fit.settings is not None
    try:
        held = fit.holdout(fraction)
        rows = np.flatnonzero(fit.runs.input(0) <= held.cutoff)
        return LawArm(name, fit, held, fit_runs(fit.law, fit.runs.take(rows), fit.settings))
    except FitError as refusal:
        return LawArm(name, fit, refusal=str(refusal))


def first(arms: Sequence[LawArm], most: int) -> tuple[Sequence[LawArm], str]:
    """As many as a figure can bear, and what to say where some are left out of it."""
    if len(arms) <= most:
        return arms, ""
    return arms[:most], f" The first {most} of {len(arms)} arms are drawn; the CSV has them all."
