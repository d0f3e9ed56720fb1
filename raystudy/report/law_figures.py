"""The figures of laws, as a page asks for them."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from raystudy.laws.chinchilla import Chinchilla
from raystudy.report.figures import Drawn
from raystudy.report.frontier import frontier
from raystudy.report.held_out import held_out
from raystudy.report.isoflop import isoflop
from raystudy.report.law_arms import LawArm, Words
from raystudy.report.multiplier_bars import Pair, multiplier_bars
from raystudy.report.profiles import profiles
from raystudy.report.publish import Planned
from raystudy.report.residuals import residuals
from raystudy.report.view import MissingCellsError

MOST_ISOFLOP = 4
NO_ISOFLOP = (
    "needs a law of parameters N and data D (Chinchilla); raystudy fit draws it from a table"
)


def bars(pairs: Sequence[Pair]) -> list[Planned]:
    return [("figure", "Data multipliers, side by side", lambda: multiplier_bars(pairs))]


def paid(runs: pl.DataFrame, cost: str, words: Words) -> list[Planned]:
    """``runs`` has columns arm, cost and y; ``cost`` says what that is."""
    named = Words((cost,), words.output, words.percent)
    return [("figure", "Frontier", lambda: frontier(runs, named))]


def checks(arms: Sequence[LawArm], words: Words) -> list[Planned]:
    """Whether the law of ``arms`` holds where it had not seen, fits where it had, and is known."""
    return [
        ("figure", "The largest sizes, held out", lambda: held_out(arms, words)),
        ("figure", "Residuals against size", lambda: residuals(arms, words)),
        ("figure", "Profile likelihoods", lambda: profiles(arms)),
    ]


def equal_compute(arms: Sequence[LawArm], words: Words) -> list[Planned]:
    """One figure an arm, for laws of parameters and data."""
    plan: list[Planned] = []
    of_both = [arm for arm in arms if isinstance(arm.fit.law, Chinchilla)][:MOST_ISOFLOP]
    for i, arm in enumerate(of_both):
        name = "isoflop" if len(of_both) == 1 else f"isoflop-{i + 1}"
        plan.append(("figure", "Loss at equal compute", lambda a=arm, n=name: isoflop(a, words, n)))
    if not of_both:
        plan.append(("figure", "Loss at equal compute", _no_isoflop))
    return plan


def _no_isoflop() -> Drawn:
    raise MissingCellsError(NO_ISOFLOP)
