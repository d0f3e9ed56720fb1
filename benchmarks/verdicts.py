"""How often a study says what is not so, and how near what it measures comes to the truth.

    python benchmarks/verdicts.py [--studies 500] [--seeds 3 5] [--only claims …] [--json PATH]

``claims``: synthetic ledgers in which a claim is just not so (``tests/claims/nulls.py``); counted
is how often it is called supported, and contradicted. ``looks``: the same, looked at after every
seed by the rule of ``raystudy run --skip-decided``; counted is how often any look decides.
``pairs``: two equal arms, likewise. ``multipliers``: two arms, one worth four times the other;
``transferred``: fine-tuned runs worth a known D_T. Of these the median ratio to the truth with its
95 % interval (binomial, of order statistics), and how often 90 and 95 % intervals hold the truth.
``transfer-law``: whole studies whose k, α and β are known (``tests/laws/transfers.py``),
with noise of 2 % and of 6 % of the loss; how often intervals of D_T at every point, and of the
parameters, hold them.

Everything follows from the number of a study: the same numbers come out again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from raystudy.laws import OffsetPower, data_multiplier, fit
from raystudy.laws.ahead import lead
from raystudy.laws.status import FitError
from raystudy.laws.transfer import transfer
from raystudy.laws.transfer_law import transfer_law
from raystudy.laws.transferred import transferred
from raystudy.spending import look_coverage
from tests.claims.nulls import WORLDS, verdicts
from tests.laws.transfers import PLAIN

LAW = OffsetPower()
SIZES = np.geomspace(1e3, 1e5, 5)
WORTH, RUN, SEED = 4.0, 0.005, 0.01
"""Of arm A in B's data; noise of a run, and what a seed does to both arms, as errors."""
LEVELS = (0.9, 0.95)
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5])
    parser.add_argument("--only", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, list[Row]] = {}
    for part in options.only:
        print(f"\n{part}, {options.studies} studies")
        started = time.perf_counter()
        found[part] = []
        for row in PARTS[part](options.studies, options.seeds):
            found[part].append(row)
            print("  " + "  ".join(f"{k} {_text(v)}" for k, v in row.items()), flush=True)
        print(f"  ({time.perf_counter() - started:.0f} s)")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


def claims(num_studies: int, seeds: list[int]) -> Iterator[Row]:
    for world in WORLDS:
        for num_seeds in seeds:
            counts = Counter(verdicts(world, num_studies, num_seeds))
            shares = {s: counts[s] / num_studies for s in ("supported", "contradicted")}
            yield {
                "claim": type(world.claim).__name__,
                "world": world.name,
                "seeds": num_seeds,
                **shares,
            }


def looks(num_studies: int, seeds: list[int]) -> Iterator[Row]:
    """A study of as many planned seeds, stopped at the first look that decides."""
    for world in WORLDS:
        for planned in seeds:
            counts: Counter[str] = Counter()
            for study in range(num_studies):
                rng = np.random.default_rng([study, planned, *world.name.encode()])
                records = world.draw(rng, planned)
                counts[_first_decision(world.claim, records, planned)] += 1
            decided = {s: counts[s] / num_studies for s in ("supported", "contradicted")}
            yield {
                "claim": type(world.claim).__name__,
                "world": world.name,
                "planned": planned,
                **decided,
            }


def pairs(num_studies: int, seeds: list[int]) -> Iterator[Row]:
    """Equal arms: whichever is called ahead, it is a mistake."""
    for planned in seeds:
        wrong = 0
        for study in range(num_studies):
            rng = np.random.default_rng([study, planned, 1])
            a, b = _arms(rng, planned, 1.0)
            for number in range(2, planned + 1):
                own = (tuple(c[arm[2] < number] for c in arm) for arm in (a, b))
                found = lead(LAW, *own, coverage=look_coverage(number, planned))  # type: ignore[arg-type]
                if found.low > 0 or found.high < 0:
                    wrong += 1
                    break
        yield {"planned": planned, "decided": wrong / num_studies}


def multipliers(num_studies: int, seeds: list[int]) -> Iterator[Row]:
    for num_seeds in (*seeds, 8):
        ratios, held = [], np.zeros(len(LEVELS))
        for study in range(num_studies):
            rng = np.random.default_rng([study, num_seeds, 2])
            a, b = _arms(rng, num_seeds, WORTH)
            found = [data_multiplier(LAW, a, b, coverage=level, seed=study) for level in LEVELS]
            ratios.append(found[0].value / WORTH)
            held += [m.low <= WORTH <= m.high for m in found]
        yield {"seeds": num_seeds, **_recovered(ratios, held)}


def transfers(num_studies: int, seeds: list[int]) -> Iterator[Row]:
    """D_T of runs fine-tuned on 1,000 examples that lose as much as 8,000 from scratch."""
    tuning, worth = 1e3, 8e3  # D_F and D_E
    loss = float(LAW.predict(np.array([worth]), np.array([0.1, 4.0, 0.35]))[0])
    for num_seeds in seeds:
        ratios, held = [], np.zeros(len(LEVELS))
        for study in range(num_studies):
            rng = np.random.default_rng([study, num_seeds, 3])
            x, y, seed = _arm(rng, 1.0, rng.normal(0, SEED, num_seeds))
            tuned = loss + rng.normal(0, (RUN**2 + SEED**2) ** 0.5, num_seeds)
            for i, level in enumerate(LEVELS):
                table = {"x": x, "y": y, "seed": seed}
                scratch = fit(
                    table, LAW, x="x", seed="seed", coverage=level, num_resamples=400,
                    random_seed=study,
                )  # fmt: skip
                value, low, high = transferred(scratch, tuning, tuned, random_seed=study).D_T
                held[i] += low <= worth - tuning <= high
            ratios.append(value / (worth - tuning))
        yield {"seeds": num_seeds, **_recovered(ratios, held)}


def laws_of_transfer(num_studies: int, seeds: list[int]) -> Iterator[Row]:
    for noise in (0.02, 0.06):
        world = replace(PLAIN, run=noise, seed=noise)
        truth = {"k": world.k("text"), "alpha": 0.3, "beta": 0.4}
        for num_seeds in seeds:
            held = {(name, level): [] for name in ("D_T", *truth) for level in LEVELS}
            found = {"alpha": [], "beta": []}
            refused = 0
            for study in range(num_studies):
                runs = world.draw(np.random.default_rng([study, num_seeds, 4]), num_seeds)
                for level in LEVELS:
                    measured = transfer(runs, coverage=level)
                    for point in measured.points:
                        _, low, high = point.worth.D_T
                        worth = world.worth("text", point.D_F, point.N)
                        held["D_T", level].append(low <= worth <= high)
                    try:
                        law = transfer_law(measured, "text")
                    except FitError:
                        refused += 1
                        continue
                    for name, value in truth.items():
                        _, low, high = law.parameter(name)
                        held[name, level].append(low <= value <= high)
                    for name, values in found.items():
                        values.append(law.parameter(name)[0])
            yield {
                "noise": noise,
                "seeds": num_seeds,
                **{f"median {name}": float(np.median(v)) for name, v in found.items()},
                **{f"{n} held by {lv:.0%}": float(np.mean(v)) for (n, lv), v in held.items()},
                "refused": refused,
            }


PARTS: dict[str, Callable[[int, list[int]], Iterator[Row]]] = {
    "claims": claims,
    "looks": looks,
    "pairs": pairs,
    "multipliers": multipliers,
    "transferred": transfers,
    "transfer-law": laws_of_transfer,
}


def _first_decision(claim, records, planned: int) -> str:
    for number in range(2, planned + 1):
        sure = claim.model_copy(update={"coverage": look_coverage(number, planned)})
        status = sure.judge(records.filter(records["seed"] < number)).status
        if status != "undecided":
            return status
    return "undecided"


def _arms(rng: np.random.Generator, num_seeds: int, worth: float):
    shift = rng.normal(0, SEED, num_seeds)
    return _arm(rng, worth, shift), _arm(rng, 1.0, shift)


def _arm(rng: np.random.Generator, worth: float, shift: np.ndarray):
    x = np.repeat(SIZES, len(shift))
    seed = np.tile(np.arange(len(shift)), len(SIZES))
    y = 0.1 + 4 * (worth * x) ** -0.35 + shift[seed] + rng.normal(0, RUN, len(x))
    return x, y, seed


def _recovered(ratios: list[float], held: np.ndarray) -> Row:
    from scipy.stats import binom

    ordered, number = np.sort(ratios), len(ratios)
    low = int(binom.ppf(0.025, number, 0.5))
    return {
        "median ratio": float(np.median(ordered)),
        "from": float(ordered[low]),
        "to": float(ordered[number - 1 - low]),
        **{f"held by {level:.0%}": h / number for level, h in zip(LEVELS, held, strict=True)},
    }


def _text(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
