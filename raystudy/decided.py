"""What more seeds can no longer change: claims and comparisons that are decided, and the pending
cells that nothing undecided waits for.

A study is looked at after each seed that is whole, and a verdict stands once an interval excludes
zero with the coverage of that look (``raystudy.spending``), so that of all claims that are not so 5
in 100 at most are ever called decided, however often one looks. A pre-training is left out only if
something depends on it, all of that is decided, and what is left can still be judged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from raystudy.annotate import annotated
from raystudy.arms import BACKBONE, Arm, arms, pairs, place_of
from raystudy.kinds import Claim, Integers, Law, Verdict
from raystudy.laws.ahead import lead
from raystudy.laws.arrays import Doubles
from raystudy.laws.power import OffsetPower
from raystudy.laws.status import FitError
from raystudy.spec import Cell, Study
from raystudy.spending import ALPHA, look_coverage

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Decision:
    """How one claim, or the comparison of two arms, stands. ``verdict`` is empty until it is
    decided; ``reason`` says why it is, or is not. ``places`` are the backbones (``arms.BACKBONE``)
    that it is judged by; None where that cannot be told yet."""

    statement: str
    verdict: str
    reason: str
    places: frozenset[Place] | None


def decide(study: Study, cells: Sequence[Cell], records: pl.DataFrame) -> list[Decision]:
    """Each claim of ``study`` in turn, then each pair of arms that its report compares.

    ``cells`` are those of the study, and ``records`` what ``Ledger.read`` returns of them.
    """
    if records.is_empty():
        return []
    if study.claims and records["architecture"].n_unique() > 1:
        records = annotated(study, records)
    done = set(records["cell"])
    found = [_of_claim(claim, cells, done, records) for claim in study.claims]
    return [*found, *_of_pairs(study, cells, done, records)]


def skippable(missing: Sequence[Cell], decisions: Sequence[Decision]) -> dict[str, str]:
    """Key → reason, of those of ``missing`` that nothing undecided waits for.

    A claim that is judged at all needs whole seeds: a cell that one undecided claim waits for
    brings those of every claim that shares its backbones.
    """
    if any(d.places is None for d in decisions):
        return {}
    places = [d.places or frozenset() for d in decisions]
    waiting = {i for i, d in enumerate(decisions) if not d.verdict}
    needed: set[Place] = set()
    while True:
        needed |= {place for i in waiting for place in places[i]}
        joined = {i for i, own in enumerate(places) if own & needed}
        if joined == waiting:
            break
        waiting |= joined
    found = {}
    for cell in missing:
        place = place_of(cell)
        about = [i for i, own in enumerate(places) if place in own]
        if about and place not in needed:
            found[cell.key] = "; ".join(_because(decisions[i]) for i in about)
    return found


def _because(decision: Decision) -> str:
    return f"{decision.statement} {decision.verdict}: {decision.reason}"


def _of_claim(
    claim: Claim, cells: Sequence[Cell], done: Collection[str], records: pl.DataFrame
) -> Decision:
    try:
        places = depends(claim, cells, done, records)
    except ValueError as missing:
        return Decision(claim.statement, "", f"not judged yet: {missing}", None)
    seeds, planned = whole_seeds(places, cells, done)
    verdict, reason = "", _few(len(seeds), planned)
    for number in _looks(seeds):
        coverage = look_coverage(number, planned)
        own = records.filter(pl.col("seed").is_in(seeds[:number]))
        plain, sure = (
            claim.model_copy(update={"coverage": level}).judge(own) for level in (0.5, coverage)
        )
        if (plain.low, plain.high) == (sure.low, sure.high) and np.isfinite(sure.low):
            return Decision(claim.statement, "", "its interval takes no other coverage", places)
        verdict = "" if sure.status == "undecided" else sure.status
        ends = f"{sure.low:+.2g} to {sure.high:+.2g} {sure.unit}"
        reason = _look(ends, coverage, number, planned)
        if verdict:
            break
    return Decision(claim.statement, verdict, reason, places)


def _of_pairs(
    study: Study, cells: Sequence[Cell], done: Collection[str], records: pl.DataFrame
) -> Iterator[Decision]:
    """Which arm's data is worth more. All pairs share the error that one is allowed, because it is
    the data that says which of them are looked at."""
    law: Law = study.law or OffsetPower()
    compared = pairs(arms(study, cells, records))
    for a, b in compared:
        places = frozenset(map(place_of, (*a.cells, *b.cells)))
        seeds, planned = whole_seeds(places, cells, done)
        statement = f"data of {a.name} against {b.name}:"
        verdict, reason = "", _few(len(seeds), planned)
        for number in _looks(seeds):
            coverage = look_coverage(number, planned, ALPHA / len(compared))
            try:
                found = lead(law, _of(a, seeds[:number]), _of(b, seeds[:number]), coverage)
            except FitError as refusal:
                reason = str(refusal)
                break
            better = a.name if found.low > 0 else b.name if found.high < 0 else ""
            verdict = f"{better} is worth more" if better else ""
            ends = f"{100 * found.low:+.2g} to {100 * found.high:+.2g} points at {found.size:,.0f}"
            reason = _look(ends, coverage, number, planned)
            if verdict:
                break
        yield Decision(statement, verdict, reason, places)


def depends(
    claim: Claim, cells: Sequence[Cell], done: Collection[str], records: pl.DataFrame
) -> frozenset[Place]:
    """The backbones without which a claim is judged otherwise, or not at all; found on the seed
    that has most cells, by leaving each out. What that seed lacks itself is counted in.

    Raises ValueError, as the claim does, where no seed can be judged.
    """
    planned = {seed: [c for c in cells if c.seed == seed] for seed in {c.seed for c in cells}}
    share = {s: sum(c.key in done for c in own) for s, own in planned.items()}
    best = max(sorted(share), key=lambda seed: share[seed])
    own = records.filter(seed=best)
    whole = claim.judge(own)
    found = set()
    for place in {place_of(cell) for cell in planned[best]}:
        rest = own.filter(~_at(place))
        if len(rest) < len(own) and _differs(claim, rest, whole):
            found.add(place)
    lacking = {place_of(cell) for cell in planned[best] if cell.key not in done}
    return frozenset(found | lacking)


def whole_seeds(
    places: Collection[Place], cells: Sequence[Cell], done: Collection[str]
) -> tuple[list[int], int]:
    """Seeds that have all their cells on ``places``, and how many seeds there are to be."""
    wanted: dict[int, list[Cell]] = {}
    for cell in cells:
        if place_of(cell) in places:
            wanted.setdefault(cell.seed, []).append(cell)
    whole = [s for s, own in sorted(wanted.items()) if all(c.key in done for c in own)]
    return whole, len(wanted)


def _looks(seeds: Sequence[int]) -> range:
    """After the second seed, the third, …: the first look that decides is the one that counts, so
    that what is decided stays so."""
    return range(2, len(seeds) + 1)


def _of(arm: Arm, seeds: Sequence[int]) -> tuple[Doubles, Doubles, Integers]:
    sizes, errors, seed = arm.runs
    own = np.isin(seed, seeds)
    return sizes[own], errors[own], seed[own]


def _at(place: Place) -> pl.Expr:
    return pl.all_horizontal(
        pl.col(name) == value for name, value in zip(BACKBONE, place, strict=True)
    )


def _differs(claim: Claim, records: pl.DataFrame, whole: Verdict) -> bool:
    try:
        found = claim.judge(records)
    except ValueError:
        return True
    return (found.effect, found.detail) != (whole.effect, whole.detail)


def _look(ends: str, coverage: float, num_seeds: int, planned: int) -> str:
    return f"{ends} at {100 * coverage:.4g} %, after {num_seeds} of {planned} seeds"


def _few(num_seeds: int, planned: int) -> str:
    return f"{num_seeds} of {planned} seeds are whole, and it takes 2 to decide"
