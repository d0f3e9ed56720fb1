"""The page of ``raystudy fit``: the laws of one table, for a reader who doubts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from raystudy.laws.chinchilla import Chinchilla
from raystudy.laws.compare import Standing
from raystudy.laws.derived import FLOPS_PER_PARAMETER_AND_TOKEN
from raystudy.report.fitted_table import FittedTable
from raystudy.report.law_arms import LawArm
from raystudy.report.law_figures import bars, checks, equal_compute, paid
from raystudy.report.publish import Part, Planned, publish
from raystudy.report.style import compact
from raystudy.report.tables import Table
from raystudy.report.words import listing, plural

NOTE = (
    "Intervals are percentiles of fits to resampled runs; what is held out was not seen by the fit "
    "that predicts it."
)


def write_fit_page(
    found: FittedTable, folder: Path, title: str, facts: Mapping[str, object]
) -> Path:
    """Write ``report.html`` and its figures and tables into ``folder``; ``facts`` stand at its
    foot."""
    law = found.arms[0].fit.law
    part = Part("", "The fit", _sentences(found))
    plan: list[Planned] = [
        ("table", "Parameters", lambda: parameter_table(found.arms)),
        *checks(found.arms, found.words),
    ]
    if found.standings:
        plan.append(("table", "Other forms", lambda: standing_table(found.standings)))
    if len(found.arms) > 1:
        plan += bars(found.pairs)
    if len(found.arms) > 1 or _of_compute(found):
        plan += paid(*_costs(found), found.words)
    if _of_compute(found):
        plan += equal_compute(found.arms, found.words)
    part.add(plan)
    part.missing += [(f"Law of {name}", refusal) for name, refusal in found.refused.items()]
    return publish(
        folder,
        title=title,
        about=("Law", f"y = {law.name}"),
        note=NOTE,
        parts=[part],
        facts=facts,
        lacking="Left out",
    )


def parameter_table(arms: Sequence[LawArm]) -> Table:
    """One row an arm, and why its fit might be less than it looks."""
    numbers, cells = [], {}
    for arm in arms:
        fixed = arm.fit.settings.fixed if arm.fit.settings else set()
        for name in arm.fit.law.parameters:
            value, low, high = arm.fit.parameter(name)
            known = bool(np.isfinite([low, high]).all()) and name not in fixed
            told = f" ({low:.3g} to {high:.3g})" if known else " (fixed)" * (name in fixed)
            cells[arm.name, name] = f"{value:.4g}{told}"
            ends = (low, high) if known else (None, None)
            numbers.append((arm.name, name, value, *ends, arm.fit.status.value))
    names = arms[0].fit.law.parameters
    rows = [
        (arm.name, *(cells[arm.name, name] for name in names), arm.fit.status.value) for arm in arms
    ]
    columns = ("arm", "parameter", "value", "low", "high", "status")
    types = [pl.String] * 2 + [pl.Float64] * 3 + [pl.String]
    reasons: dict[str, list[str]] = {}
    for arm in arms:
        for reason in arm.fit.reasons:
            reasons.setdefault(reason, []).append(arm.name)
    settings, runs = arms[0].fit.settings, arms[0].fit.runs
    assert settings is not None
    assert runs is not None
    doubts = [
        f" {listing(names)}: {reason}." if len(arms) > 1 else f" {reason[0].upper()}{reason[1:]}."
        for reason, names in reasons.items()
    ]
    return Table(
        "parameters",
        "Parameters",
        f"y = {arms[0].fit.law.name}, with {settings.coverage:.0%} intervals from resampled "
        f"{runs.units}." + "".join(doubts),
        ("arm", *names, "status"),
        rows,
        pl.DataFrame(numbers, schema=dict(zip(columns, types, strict=True)), orient="row"),
    )


def standing_table(standings: Mapping[str, Sequence[Standing]]) -> Table:
    """Forms of each arm, by what they say of the largest sizes."""
    rows, numbers = [], []
    for arm, found in standings.items():
        for standing in found:
            if not np.isfinite(standing.fitted):
                continue  # a form for other tables, as of shares
            errors = (standing.held_out, standing.rolling, standing.fitted)
            criteria = (standing.aicc, standing.bic)
            name = type(standing.law).__name__
            rows.append(
                (
                    arm,
                    name,
                    str(standing.num_parameters),
                    *(_cell(error, ".3g") for error in errors),
                    *(_cell(value, ".1f") for value in criteria),
                    "too few sizes to hold any out" if standing.refusal else "",
                )
            )
            finite = [v if np.isfinite(v) else None for v in (*errors, *criteria)]
            numbers.append((arm, name, standing.num_parameters, *finite, standing.refusal))
    columns = {"arm": pl.String, "form": pl.String, "parameters": pl.Int64}
    names = ("held_out", "rolling", "fitted", "aicc", "bic")
    columns |= dict.fromkeys(names, pl.Float64) | {"refusal": pl.String}
    return Table(
        "forms",
        "Other forms",
        "By what each says of the largest sizes without having seen them: root mean square errors "
        "of logs, held out at once and one size at a time from the smallest on (rolling); fitted "
        "is that of all runs, on the scale of the loss. AICc and BIC compare forms fitted to the "
        "same runs by the same loss.",
        ("arm", "form", "parameters", "held out", "rolling", "fitted", "AICc", "BIC", ""),
        rows,
        pl.DataFrame(numbers, schema=columns, orient="row"),
    )


def _cell(value: float, digits: str) -> str:
    return f"{value:{digits}}".replace("-", "−") if np.isfinite(value) else "—"


def _sentences(found: FittedTable) -> list[str]:
    statuses = [arm.fit.status.value for arm in found.arms]
    runs = sum(len(arm.y) for arm in found.arms)
    if len(found.arms) == 1:
        fit = found.arms[0].fit
        told = f"The fit of {plural(runs, 'run', 0)} is {statuses[0]}: R² {fit.r_squared:.4f}"
    else:
        counts = [f"{statuses.count(s)} {s}" for s in dict.fromkeys(statuses)]
        told = f"{len(found.arms)} arms, {plural(runs, 'run', 0)}; of the fits {listing(counts)}"
    held = [arm.holdout.rmse_log for arm in found.arms if arm.holdout]
    if held:
        worst = "" if len(held) == 1 else f", at the median ({max(held):.2g} at worst)"
        told += f". The largest sizes, held out, are missed by {np.median(held):.2g} in log{worst}"
    sentences = [told + "."]
    if read := [(p, p.multiplier) for p in found.pairs if p.multiplier]:
        words = [f"{m.text} for {p.worse}" for p, m in read]
        better = read[0][0].better
        sentences.append(f"Data of {better} is worth, in data of others: {listing(words)}.")
    return sentences


def _costs(found: FittedTable) -> tuple[pl.DataFrame, str]:
    """Runs by what they cost: compute where there are parameters and data, else the first input;
    of one arm, models of one size each are the arms."""
    compute = _of_compute(found)
    parts = []
    for arm in found.arms:
        cost = arm.x[:, 0]
        names = [arm.name] * len(arm.y)
        if compute and len(found.arms) == 1:
            names = [f"N = {compact(size)}" for size in cost]
        if compute:
            cost = FLOPS_PER_PARAMETER_AND_TOKEN * arm.x[:, 0] * arm.x[:, 1]
        parts.append(pl.DataFrame({"arm": names, "cost": cost, "y": arm.y}))
    return pl.concat(parts), "FLOPs (6·N·D)" if compute else found.words.inputs[0]


def _of_compute(found: FittedTable) -> bool:
    return isinstance(found.arms[0].fit.law, Chinchilla)
