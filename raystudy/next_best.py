"""Which missing pre-trainings to run first, for one number that a study is after.

    raystudy plan FILE --next 10 --for multiplier

What is asked for, with the arms that it is of (by default the ones that are least certain):

- ``multiplier:latin/greek``: how many times its size one arm's data is worth of another's;
- ``alpha:latin``, ``E:latin``, …: a parameter of the study's law (``exponent`` and ``offset`` too);
- ``error@100000:latin``: the error at a size, run or not;
- ``claim:1``: the effect of the study's first claim, or of that class.

Curves are judged by ``raystudy.laws.design``; a candidate is a pre-training with its cells. Claims
need whole seeds, so that their candidates are seeds, and a new one is expected to lie about the
mean as those before it do: Student's interval shrinks with their number alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from raystudy.arms import Arm, arms, pairs, size_of
from raystudy.decided import depends, whole_seeds
from raystudy.estimate import seconds_by_backbone
from raystudy.intervals import COVERAGE
from raystudy.kinds import Law
from raystudy.laws.design import Candidate, Design, Quantity, Runs, fitted, next_best
from raystudy.laws.inversion import invert
from raystudy.laws.power import OffsetPower
from raystudy.laws.status import FitError
from raystudy.ledger import Ledger
from raystudy.plan import Plan
from raystudy.spec import Cell
from raystudy.store import Store

MIN_SIZES = 3
CONVENIENT = {"exponent": ("alpha",), "offset": ("E", "C", "gamma")}
ALIKE = "×"
"""The unit of a quantity whose interval is symmetric in its logarithm."""

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
    """What to run next for ``quantity``, now ``value`` in ``interval``; where there is none,
    ``refusal`` says why, and what it would take."""

    quantity: str
    device: str = ""
    value: float = float("nan")
    interval: Ends = (float("nan"), float("nan"))
    unit: str = ""
    steps: tuple[Step, ...] = ()
    refusal: str = ""
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class _Asked:
    """One quantity of arms: from parameters (A, P), on the scale on which it is symmetric."""

    name: str
    arms: tuple[Arm, ...]
    of: Callable[[Law], Quantity]
    unit: str


def advise(todo: Plan, store: Store, wanted: str, number: int, device: str | None = None) -> Advice:
    """Up to ``number`` steps for what is ``wanted``. Raises ValueError for what the study has not:
    arms, parameters, claims; or a device whose speed is not known."""
    records = Ledger(store).read(cell.key for cell in todo.cells)
    kind, _, names = wanted.partition(":")
    if kind == "claim":
        return _for_claim(todo, store, records, names, number, device)
    law: Law = todo.study.law or OffsetPower()
    asked = _asked(kind, names, arms(todo.study, records), law)
    return _for_curves(todo, store, law, asked, number, device)


def _for_curves(
    todo: Plan, store: Store, law: Law, asked: Sequence[_Asked], number: int, device: str | None
) -> Advice:
    """Of the quantities that can be told, the one with the widest interval."""
    best: tuple[float, _Asked, Design, np.ndarray] | None = None
    notes, refused = [], []
    for one in asked:
        try:
            design = fitted(law, *_runs(one.arms))
            slope = design.gradient(one.of(law))
            error = design.standard_error(slope)
        except FitError as refusal:
            refused.append((one, str(refusal)))
            continue
        notes += [f"{one.name}: {_text(*_ends(one, design, law, error))}"]
        if best is None or error > best[0]:
            best = error, one, design, slope
    for one, why in refused:
        notes.append(f"{one.name} is not identified yet: {why}{_what_would(one, law)}")
    if best is None:
        return Advice(asked[0].name, refusal=notes[0], notes=tuple(notes[1:]))
    error, one, design, slope = best
    value, interval, unit = _ends(one, design, law, error)
    name, seconds = seconds_by_backbone(todo, store, device)
    candidates = _candidates(one.arms, seconds)
    advice = Advice(one.name, name, value, interval, unit)
    if not candidates:
        why = "nothing is missing of it in this study; more seeds or sizes of it would be new cells"
        return _with(advice, refusal=f"{one.name}: {why}")
    chosen = next_best(design, slope, candidates, number)
    steps = []
    for choice in chosen:
        hours = candidates[choice.index].cost
        ends = [_ends(one, design, law, e)[1] for e in (choice.before, choice.after)]
        share = (1 - choice.after / choice.before) / hours
        steps.append(Step(candidates[choice.index].name, ends[0], ends[1], hours, share))
    taken = design.runs
    for choice in chosen:
        taken = taken.and_(candidates[choice.index].runs)
    if len(one.arms) > 1 and (alone := _unpaired(taken)):
        notes.append(
            f"arms are paired by seed: the report waits for seed {alone[0]} of the other arm too"
        )
    rest = tuple(note for note in notes if not note.startswith(f"{one.name}:"))
    return _with(advice, steps=tuple(steps), notes=rest)


def _for_claim(
    todo: Plan,
    store: Store,
    records: pl.DataFrame,
    name: str,
    number: int,
    device: str | None,
) -> Advice:
    from scipy.special import stdtrit

    from raystudy.annotate import annotated

    claims = todo.study.claims
    index = (
        int(name) - 1
        if name.isdigit()
        else [type(c).__name__ for c in claims].index(name)
        if (name in [type(c).__name__ for c in claims])
        else -1
    )
    if not 0 <= index < len(claims):
        known = ", ".join(f"{i} ({type(c).__name__})" for i, c in enumerate(claims, 1)) or "none"
        raise ValueError(f"--for claim:{name}: the study has no such claim; claims: {known}")
    claim, done = claims[index], set(records["cell"])
    if records["architecture"].n_unique() > 1:
        records = annotated(todo.study, records)
    try:
        places = depends(claim, todo.cells, done, records)
        whole, _ = whole_seeds(places, todo.cells, done)
        verdict = claim.judge(records.filter(pl.col("seed").is_in(whole)))
    except ValueError as missing:
        return Advice(claim.statement, refusal=f"it cannot be judged yet: {missing}")
    device_name, seconds = seconds_by_backbone(todo, store, device)
    pending = _seeds(todo, places, seconds)
    interval = (verdict.low, verdict.high)
    advice = Advice(claim.statement, device_name, verdict.effect, interval, verdict.unit)
    if not pending:
        return _with(advice, refusal="nothing is missing of it in this study; more seeds would be")
    steps: list[Step] = []
    before, seeds = interval, len(whole)
    for seed, count, hours in pending[:number]:
        after = before
        if np.isfinite(before).all():
            halves = [stdtrit(s - 1, (1 + COVERAGE) / 2) / s**0.5 for s in (seeds, seeds + 1)]
            shrunk = halves[1] / halves[0]
            after = (
                verdict.effect - shrunk * (verdict.effect - before[0]),
                verdict.effect + shrunk * (before[1] - verdict.effect),
            )
        width = before[1] - before[0]
        gain = 1 / hours if not np.isfinite(width) else (1 - (after[1] - after[0]) / width) / hours
        what = f"seed {seed}, whole: {count} backbones"
        steps.append(Step(what, before, after, hours, gain))
        before, seeds = after, seeds + 1
    note = () if np.isfinite(interval).all() else ("one seed has no interval; a second gives one",)
    return _with(advice, steps=tuple(steps), notes=note)


def _asked(kind: str, names: str, found: Sequence[Arm], law: Law) -> list[_Asked]:
    by_name = {arm.name: arm for arm in found}
    chosen = names.split("/") if names else []
    for name in chosen:
        if name not in by_name:
            raise ValueError(f"--for: the study has no arm '{name}'; arms: {', '.join(by_name)}")
    if not found:
        raise ValueError("--for: the study pre-trains nothing; a claim can be asked for")
    if kind == "multiplier":
        if len(chosen) not in (0, 2):
            raise ValueError("--for multiplier takes two arms, as in multiplier:latin/greek")
        two = [(by_name[chosen[0]], by_name[chosen[1]])] if chosen else _ahead(found)
        if not two:
            raise ValueError("--for multiplier: the study has one arm; there is none to compare")
        return [_multiplier(a, b) for a, b in two]
    of_one = [by_name[name] for name in chosen] or list(found)
    if kind.startswith("error@"):
        size = _size(kind.removeprefix("error@"))
        return [_error(arm, size) for arm in of_one]
    tried = (*CONVENIENT.get(kind, ()), kind)
    if not (name := next((n for n in tried if n in law.parameters), "")):
        known = ", ".join(("multiplier", *law.parameters, "error@SIZE", "claim:1"))
        raise ValueError(f"--for {kind}: {law.name} has no such parameter; there are {known}")
    i = law.parameters.index(name)
    return [
        _Asked(f"{name} of {a.name}", (a,), lambda _: lambda p: float(p[0, i]), "") for a in of_one
    ]


def _ahead(found: Sequence[Arm]) -> list[tuple[Arm, Arm]]:
    """Pairs with the better arm first, as a report compares them; as they come where one of them
    has not run."""

    def last(arm: Arm) -> float:
        sizes, errors, _ = arm.runs
        return float(errors[sizes == sizes.max()].mean())

    return [
        (b, a) if len(a.finished) and len(b.finished) and last(b) < last(a) else (a, b)
        for a, b in pairs(found)
    ]


def _multiplier(a: Arm, b: Arm) -> _Asked:
    """As ``raystudy.laws.multiplier`` reads it: where A's curve meets B's at B's largest size."""

    def of(law: Law) -> Quantity:
        low, high, largest = a.sizes[0], a.sizes[-1], float(b.sizes[-1])

        def value(parameters: np.ndarray) -> float:
            target = np.asarray(law.predict(np.array([largest]), parameters[1]))
            meets = invert(law, parameters[:1], target, low, high)[0]
            with np.errstate(divide="ignore"):
                return float(np.log(largest) - np.log(meets))

        return value

    return _Asked(f"multiplier of {a.name} over {b.name}", (a, b), of, ALIKE)


def _error(arm: Arm, size: float) -> _Asked:
    def of(law: Law) -> Quantity:
        return lambda p: 100 * float(np.asarray(law.predict(np.array([size]), p[0]))[0])

    return _Asked(f"error of {arm.name} at {size:,.0f}", (arm,), of, "points")


def _size(text: str) -> float:
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0 < size < np.inf:
        raise ValueError(f"--for error@{text}: a size is a positive number, as in error@100000")
    return size


def _runs(own: Sequence[Arm]) -> tuple[Runs, np.ndarray]:
    """Raises FitError where an arm has too few sizes."""
    for arm in own:
        if len(arm.sizes) < MIN_SIZES:
            raise FitError(
                f"{arm.name} has run at {len(arm.sizes)} sizes of the {MIN_SIZES} it takes"
            )
    parts = [arm.runs for arm in own]
    index = np.concatenate([np.full(len(x), a) for a, (x, _, _) in enumerate(parts)])
    x, y, seed = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return Runs(index.astype(np.int64), x, seed), y


def _candidates(own: Sequence[Arm], seconds: dict[str, float]) -> list[Candidate]:
    found = []
    for a, arm in enumerate(own):
        for cell in arm.cells:
            if cell.key not in arm.errors and (cost := seconds.get(cell.backbone.key)):
                size = float(size_of(cell))
                runs = Runs(np.array([a]), np.array([size]), np.array([cell.seed]))
                name = f"{arm.name}, size {size:,.0f}, seed {cell.seed}"
                found.append(Candidate(name, runs, cost / 3600))
    return found


def _seeds(
    todo: Plan, places: frozenset[tuple], seconds: dict[str, float]
) -> list[tuple[int, int, float]]:
    """Seeds that lack something at ``places``: the backbones to be run and their hours, the
    cheapest first."""
    from raystudy.arms import place_of

    lacking: dict[int, dict[str, Cell]] = {}
    for cell in todo.missing_cells:
        if place_of(cell) in places:
            lacking.setdefault(cell.seed, {})[cell.backbone.key] = cell
    found = [(s, len(own), sum(seconds[k] for k in own) / 3600) for s, own in lacking.items()]
    return sorted(found, key=lambda one: (one[2], one[0]))


def _ends(one: _Asked, design: Design, law: Law, error: float) -> tuple[float, Ends, str]:
    from scipy.special import ndtri

    value = one.of(law)(design.parameters)
    half = float(ndtri((1 + COVERAGE) / 2)) * error
    ends = value - half, value + half
    if one.unit == ALIKE:
        value, ends = float(np.exp(value)), (float(np.exp(ends[0])), float(np.exp(ends[1])))
    return value, ends, one.unit


def _what_would(one: _Asked, law: Law) -> str:
    """The sizes of the study that would identify a quantity, where there are any."""
    wanted = []
    for arm in one.arms:
        if len(arm.sizes) < MIN_SIZES and arm.missing_sizes:
            wanted.append(f"{arm.name} at {_sizes(arm.missing_sizes)}")
    if not wanted and len(one.arms) == 2:
        a, b = one.arms
        _, errors, _ = b.runs
        short = a.runs[1].min() > errors[b.runs[0] == b.sizes[-1]].mean()
        beyond = [s for s in a.missing_sizes if (s > a.sizes[-1] if short else s < a.sizes[0])]
        side = "larger" if short else "smaller"
        if not beyond:
            return f"; it would take {side} sizes of {a.name} than the study has"
        wanted.append(f"{a.name} at {_sizes(beyond)}")
    if not wanted:
        return "; the study has no missing size that would help"
    return f"; it takes {' and '.join(wanted)}"


def _sizes(sizes: Sequence[int]) -> str:
    return ", ".join(f"{size:,}" for size in sizes)


def _unpaired(runs: Runs) -> list[int]:
    seeds = [set(runs.seed[runs.arm == a].tolist()) for a in (0, 1)]
    return sorted(seeds[0] ^ seeds[1])


def _text(value: float, interval: Ends, unit: str) -> str:
    if unit == ALIKE:
        return f"×{value:.3g} ({interval[0]:.3g} to {interval[1]:.3g})"
    return f"{value:.4g} ({interval[0]:.4g} to {interval[1]:.4g}) {unit}".rstrip()


def _with(advice: Advice, **changes: object) -> Advice:
    from dataclasses import replace

    return replace(advice, **changes)  # type: ignore[arg-type]
