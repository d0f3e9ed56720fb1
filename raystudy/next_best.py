"""Which missing pre-trainings to run first, for one number that a study is after.

    raystudy plan FILE --next 10 --for multiplier

What is asked for, with the arms that it is of (by default the ones that are least certain):

- ``multiplier:latin/greek``: how many times its size one arm's data is worth of another's;
- ``alpha:latin``, ``E:latin``, …: a parameter of the study's law (``exponent`` and ``offset`` too);
- ``error@100000:latin``: the error at a size, run or not;
- ``claim:1``: the effect of the study's first claim, or of the first of that class;
- ``transfer``: effective data transferred, and which runs from scratch it lacks.

Curves are judged by ``raystudy.laws.design``; a candidate is a pre-training with its cells. Claims
need whole seeds, so that their candidates are seeds, and a new one is expected to lie about the
mean as those before it do: Student's interval shrinks with their number alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from raystudy.annotate import annotated
from raystudy.arms import Arm, arms, place_of, size_of
from raystudy.asked import ALIKE, Asked, parse
from raystudy.decided import Place, depends, whole_seeds
from raystudy.estimate import seconds_by_backbone
from raystudy.intervals import COVERAGE
from raystudy.kinds import Claim, Law
from raystudy.laws.arrays import Doubles
from raystudy.laws.design import Candidate, Design, Runs, fitted, next_best
from raystudy.laws.power import OffsetPower
from raystudy.laws.status import FitError
from raystudy.ledger import Ledger
from raystudy.plan import Plan
from raystudy.spec import Cell
from raystudy.store import Store
from raystudy.transfer import gap_sentences, suites

MIN_SIZES = 3
Ends = tuple[float, float]


@dataclass(frozen=True)
class Step:
    """One line of the list: what to run, the interval before and after it (all lines above it
    run), device-hours, and the share of the interval that it takes off for each of these."""

    what: str
    before: Ends
    after: Ends
    hours: float
    gain: float


@dataclass(frozen=True)
class Advice:
    """What to run next for ``quantity``, now ``value`` in ``interval`` with 95 %. Where there is no
    step, ``refusal`` says why, and what it would take. ``notes`` are about other quantities that
    the same words ask for."""

    quantity: str
    device: str = ""
    value: float = float("nan")
    interval: Ends = (float("nan"), float("nan"))
    unit: str = ""
    steps: tuple[Step, ...] = ()
    refusal: str = ""
    notes: tuple[str, ...] = ()


def advise(todo: Plan, store: Store, wanted: str, number: int, device: str | None = None) -> Advice:
    """Up to ``number`` steps for what is ``wanted``. Raises ValueError for what the study has not:
    arms, parameters, claims; or a device whose speed is not known."""
    records = Ledger(store).read(cell.key for cell in todo.cells)
    kind, _, names = wanted.partition(":")
    if kind == "claim":
        return _for_claim(todo, store, records, _claim(todo, names), number, device)
    if kind == "transfer":
        return _for_transfer(todo, records)
    law: Law = todo.study.law or OffsetPower()
    asked = parse(kind, names, arms(todo.study, todo.cells, records), law)
    return _for_curves(todo, store, law, asked, number, device)


def text(value: float, interval: Ends, unit: str) -> str:
    """A quantity and its interval, in words."""
    low, high = interval
    if unit == ALIKE:
        return f"×{value:.3g} ({low:.3g} to {high:.3g})"
    return f"{value:.3g} ({low:.3g} to {high:.3g}) {unit}".rstrip()


def _for_curves(
    todo: Plan, store: Store, law: Law, asked: Sequence[Asked], number: int, device: str | None
) -> Advice:
    """Of the quantities that can be told, the one with the widest interval."""
    known: list[tuple[float, Asked, Design, Doubles]] = []
    refused: list[str] = []
    for one in asked:
        try:
            design = fitted(law, *_runs(one.arms))
            slope = design.gradient(one.of(law))
            known.append((design.standard_error(slope), one, design, slope))
        except FitError as why:
            refused.append(f"{one.name} is not identified yet: {why}; {_what_would(one)}")
    if not known:
        return Advice(asked[0].name, refusal=refused[0], notes=tuple(refused[1:]))
    known.sort(key=lambda found: -found[0])
    error, one, design, slope = known[0]
    value, *interval = _ends(one, design, error)
    others = [
        f"{other.name} is {text(v, (low, high), other.unit)}"
        for e, other, own, _ in known[1:]
        for v, low, high in [_ends(other, own, e)]
    ]
    name, seconds = seconds_by_backbone(todo, store, device)
    advice = Advice(
        one.name, name, value, (interval[0], interval[1]), one.unit, notes=(*others, *refused)
    )
    candidates = _candidates(one.arms, seconds)
    if not candidates:
        what = f"nothing of {' and '.join(arm.name for arm in one.arms)} is missing in this study"
        return replace(advice, refusal=f"{what}: ask it for more seeds or sizes")
    steps, runs = [], design.runs
    for choice in next_best(design, slope, candidates, number):
        candidate = candidates[choice.index]
        runs = runs.and_(candidate.runs)
        before, after = (_ends(one, design, e)[1:] for e in (choice.before, choice.after))
        share = (1 - choice.after / choice.before) / candidate.cost
        steps.append(Step(candidate.name, before, after, candidate.cost, share))
    if alone := _unpaired(runs, len(one.arms)):
        seeds = ", ".join(map(str, alone))
        told = f"arms are paired by seed: a report waits until both have seed {seeds}"
        advice = replace(advice, notes=(told, *advice.notes))
    return replace(advice, steps=tuple(steps))


def _for_claim(
    todo: Plan,
    store: Store,
    records: pl.DataFrame,
    claim: Claim,
    number: int,
    device: str | None,
) -> Advice:
    if records["architecture"].n_unique() > 1:
        records = annotated(todo.study, records)
    done = set(records["cell"])
    try:
        places = depends(claim, todo.cells, done, records)
        whole, _ = whole_seeds(places, todo.cells, done)
        verdict = claim.judge(records.filter(pl.col("seed").is_in(whole)))
    except ValueError as missing:
        return Advice(claim.statement, refusal=f"not judged yet: {missing}")
    name, seconds = seconds_by_backbone(todo, store, device)
    interval = float(verdict.low), float(verdict.high)
    advice = Advice(claim.statement, name, float(verdict.effect), interval, verdict.unit)
    steps = tuple(_seed_steps(todo, places, seconds, advice, len(whole)))[:number]
    if not steps:
        what = "nothing that it depends on is missing in this study"
        return replace(advice, refusal=f"{what}: ask it for more seeds")
    notes = () if len(whole) > 1 else ("one seed has no interval; a second gives it one",)
    return replace(advice, steps=steps, notes=notes)


def _for_transfer(todo: Plan, records: pl.DataFrame) -> Advice:
    """From-scratch sizes that bracket D_E, told and not ranked: until they have run nobody knows
    where it lies."""
    quantity = "effective data transferred"
    try:
        units = {task.name: task.unit for grid in todo.study.grids for task in grid.tasks}
        found = suites(annotated(todo.study, records), units)
        told = [line for suite in found for line in gap_sentences(suite)]
        points = sum(len(suite.measured.points) for suite in found)
    except FitError as missing:
        return Advice(quantity, refusal=f"no curve from scratch yet: {missing}")
    if not points:
        return Advice(quantity, refusal="nothing has run from scratch and after pre-training yet")
    return Advice(quantity, notes=tuple(told or [f"D_E is bracketed at all {points} points"]))


def _seed_steps(
    todo: Plan, places: frozenset[Place], seconds: dict[str, float], now: Advice, num_seeds: int
) -> Iterator[Step]:
    """One a seed that lacks something at ``places``, the cheapest first."""
    lacking: dict[int, dict[str, Cell]] = {}
    for cell in todo.missing_cells:
        if place_of(cell) in places:
            lacking.setdefault(cell.seed, {})[cell.backbone.key] = cell
    hours = {seed: sum(seconds[key] for key in own) / 3600 for seed, own in lacking.items()}
    before = now.interval
    for seed in sorted(lacking, key=lambda s: (hours[s], s)):
        ratio = _half(num_seeds + 1) / _half(num_seeds) if num_seeds > 1 else 1.0
        low, high = (now.value + ratio * (end - now.value) for end in before)
        what = f"seed {seed}, the {len(lacking[seed])} backbones that it lacks"
        gain = (1 - ratio if num_seeds > 1 else 1.0) / hours[seed]
        yield Step(what, before, (low, high), hours[seed], gain)
        before, num_seeds = (low, high), num_seeds + 1


def _half(num_seeds: int) -> float:
    """Of Student's interval of a mean, in standard deviations."""
    from scipy.special import stdtrit  # here, so that importing raystudy stays fast

    return float(stdtrit(num_seeds - 1, (1 + COVERAGE) / 2)) / num_seeds**0.5


def _claim(todo: Plan, name: str) -> Claim:
    claims = todo.study.claims
    for i, claim in enumerate(claims, 1):
        if name in (str(i), type(claim).__name__):
            return claim
    known = ", ".join(f"{i} ({type(c).__name__})" for i, c in enumerate(claims, 1)) or "none"
    raise ValueError(f"--for claim:{name}: the study has no such claim; its claims: {known}")


def _runs(own: Sequence[Arm]) -> tuple[Runs, Doubles]:
    """Raises FitError where an arm has too few sizes."""
    for arm in own:
        if len(arm.sizes) < MIN_SIZES:
            raise FitError(f"{arm.name} has run at {len(arm.sizes)} sizes, and a curve takes 3")
    parts = [arm.runs for arm in own]
    index = np.concatenate([np.full(len(x), a) for a, (x, _, _) in enumerate(parts)])
    x, y, seed = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return Runs(index.astype(np.int64), x, seed), y


def _candidates(own: Sequence[Arm], seconds: dict[str, float]) -> list[Candidate]:
    found = []
    for a, arm in enumerate(own):
        for cell in arm.cells:
            if cell.key not in arm.errors and (cost := seconds.get(cell.backbone.key)):
                size = size_of(cell)
                runs = Runs(np.array([a]), np.array([float(size)]), np.array([cell.seed]))
                name = f"{arm.name}, size {size:,}, seed {cell.seed}"
                found.append(Candidate(name, runs, cost / 3600))
    return found


def _ends(one: Asked, design: Design, error: float) -> tuple[float, float, float]:
    from scipy.special import ndtri  # here, so that importing raystudy stays fast

    half = float(ndtri((1 + COVERAGE) / 2)) * error
    return one.ends(one.of(design.law)(design.parameters), half)


def _what_would(one: Asked) -> str:
    """The sizes of the study that would identify a quantity, where there are any."""
    few = [arm for arm in one.arms if len(arm.sizes) < MIN_SIZES]
    if few:
        wanted = [f"{a.name} at {_listed(a.missing_sizes)}" for a in few if a.missing_sizes]
        return f"it takes {' and '.join(wanted)}" if wanted else "it takes sizes beyond the study's"
    if len(one.arms) < 2:
        return "it takes more sizes or seeds"
    a, b = one.arms
    (sizes_a, errors_a, _), (sizes_b, errors_b, _) = a.runs, b.runs
    target = errors_b[sizes_b == sizes_b.max()].mean()
    short = errors_a[sizes_a == sizes_a.max()].mean() > target
    side = "larger" if short else "smaller"
    beyond = [s for s in a.missing_sizes if (s > a.sizes[-1] if short else s < a.sizes[0])]
    if not beyond:
        return f"it takes {side} sizes of {a.name} than the study has"
    return f"it takes {a.name} at {_listed(beyond)}"


def _listed(sizes: Sequence[int]) -> str:
    return ", ".join(f"{size:,}" for size in sizes)


def _unpaired(runs: Runs, num_arms: int) -> list[int]:
    """Seeds that one of two arms has and the other has not."""
    if num_arms < 2:
        return []
    first, second = (set(runs.seed[runs.arm == a].tolist()) for a in (0, 1))
    return sorted(first ^ second)
