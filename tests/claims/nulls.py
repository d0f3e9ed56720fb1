"""Synthetic ledgers in which a claim is just not so: what a verdict must not call supported.

Each world is at the edge of its claim's null, where false support is most likely, with noise of
seeds as small studies have it: a few points at few shots, tenths of a point at all of them, and a
part that a seed does to every arm alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import polars as pl

from raystudy.claims.head2toe_gains import Head2ToeGainsWhereAffinityIsLow
from raystudy.claims.head2toe_matches import Head2ToeMatchesFineTuning
from raystudy.claims.label_noise import NoiseHurtsAtEverySize
from raystudy.claims.model_over_adaptation import ModelOverAdaptation
from raystudy.claims.more_data import MoreDataHelpsFewShotMost
from raystudy.claims.nearer_transfers import NearerHasSmallerExponent
from raystudy.claims.no_source_wins import NoSourceWinsEverywhere
from raystudy.claims.noise_costs_more import NoiseCostsMoreThanItsExamples
from raystudy.claims.noise_keeps_exponent import NoiseKeepsExponent
from raystudy.claims.size_transfers import TransferGrowsWithSize
from raystudy.claims.source_spread import SourceSpreadShrinks
from raystudy.claims.trend_over_models import TrendOverModels
from raystudy.claims.worth_more import WorthMoreData
from raystudy.kinds import Claim
from raystudy.laws.transfer import SCRATCH
from raystudy.ledger import SCHEMA

from ..laws import transfers

PLACE = {
    **{"method": "clip", "source": "glyphs", "size": 1000, "noise": "clean", "noise_rate": 0.0},
    **{"architecture": "resnet", "task": "digits", "adaptation": "linear-probe", "shots": "10"},
    **{"seed": 0, "split": "test", "metric": "accuracy"},
}
FEW, MANY, SHARED = 3.0, 0.5, 1.0
"""Points of accuracy: noise at few shots, at all of them, and what a seed does to every arm."""
TASKS = tuple("abcdefghi")
about: dict[str, Any] = {"task": "digits", "adaptation": "linear-probe", "method": "clip"}


@dataclass(frozen=True)
class World:
    """A claim, why it is not so, and ledgers of it: ``draw(rng, num_seeds)``."""

    name: str
    claim: Claim
    draw: Callable[[np.random.Generator, int], pl.DataFrame]


def equal_sources(rng: np.random.Generator, num_seeds: int) -> pl.DataFrame:
    """Seven sources that teach the same; few shots are noisy."""
    return _sources(rng, num_seeds, np.zeros(7))


def steady_sources(rng: np.random.Generator, num_seeds: int) -> pl.DataFrame:
    """Seven sources as far apart at few shots as at all of them."""
    return _sources(rng, num_seeds, np.linspace(0, 6, 7))


def _sources(rng: np.random.Generator, num_seeds: int, means: np.ndarray) -> pl.DataFrame:
    noise = np.array([FEW, MANY])[:, None, None]
    values = 60 + means[:, None] + noise * rng.normal(size=(2, 7, num_seeds))
    values = values + SHARED * rng.normal(size=num_seeds)
    return _records(values, shots=["1", "full"], source=list("tuvwxyz"), seed=range(num_seeds))


def equal_gains(rng: np.random.Generator, num_seeds: int) -> pl.DataFrame:
    """Three sizes whose gain is the same at few shots as at all of them."""
    noise = np.array([FEW, MANY])[:, None, None]
    values = 60 + np.array([0, 3, 6.0])[:, None] + noise * rng.normal(size=(2, 3, num_seeds))
    values = values + SHARED * rng.normal(size=num_seeds)
    return _records(values, shots=["1", "full"], size=[100, 300, 900], seed=range(num_seeds))


def harmless_at_one(rng: np.random.Generator, num_seeds: int) -> pl.DataFrame:
    """Noise costs 8 points at two sizes and nothing at the third."""
    lost = np.array([[0, 0, 0], [8, 8, 0.0]])[:, :, None]
    values = 70 - lost + 1.5 * rng.normal(size=(2, 3, num_seeds))
    values = values + SHARED * rng.normal(size=num_seeds)
    noises = ["clean", "symmetric-0.6"]
    return _records(values, noise=noises, size=[100, 300, 900], seed=range(num_seeds))


def shallower(rng: np.random.Generator, num_seeds: int) -> pl.DataFrame:
    """Noise takes just the margin off the exponent."""
    return _errors(rng, num_seeds, np.array([0.30, 0.25]), 0.0)


def no_more_than_its_examples(rng: np.random.Generator, num_seeds: int) -> pl.DataFrame:
    """A wrong label is as good as none."""
    return _errors(rng, num_seeds, np.full(4, 0.30), 1.0)


def _errors(
    rng: np.random.Generator, num_seeds: int, exponents: np.ndarray, q: float
) -> pl.DataFrame:
    """Errors 3·(n·(1 − r)^q)^−α, a rate of noise for each exponent, clean first; 3 % off."""
    rates, sizes = 0.2 * np.arange(len(exponents)), np.array([400, 1600, 6400, 25_600])
    n = sizes * (1 - rates[:, None]) ** q
    off = np.exp(0.03 * rng.normal(size=(len(rates), len(sizes), num_seeds)))
    values = 100 - 300 * (n ** -exponents[:, None])[:, :, None] * off
    noises = ["clean", *(f"symmetric-{rate:.1f}" for rate in rates[1:])]
    found = _records(values, noise=noises, size=sizes.tolist(), seed=range(num_seeds))
    return found.with_columns(noise_rate=found["noise"].replace_strict(noises, rates))


def tied_everywhere(rng: np.random.Generator, num_seeds: int) -> pl.DataFrame:
    """One source is best on every task, with others that are as good."""
    means = np.array([60, 60, 57.0])[:, None, None]
    values = means + 1.5 * rng.normal(size=(3, 3, num_seeds)) + SHARED * rng.normal(size=num_seeds)
    return _records(values, source=list("tuv"), task=list(TASKS[:3]), seed=range(num_seeds))


def four_times(rng: np.random.Generator, num_seeds: int) -> pl.DataFrame:
    """One source is worth just four times the other; errors are 3 % off."""
    frames = []
    for source, worth in (("curated", 4), ("web", 1)):
        sizes = 400 * 2 ** np.arange(4 if worth > 1 else 8)
        errors = 5 + 900 * (worth * sizes) ** -0.5
        off = np.exp(0.03 * rng.normal(size=(len(sizes), num_seeds)))
        on = {"source": source, "size": sizes.tolist(), "seed": range(num_seeds)}
        frames.append(_records(100 - errors[:, None] * off, **on))
    return pl.concat(frames)


def just_behind(rng: np.random.Generator, num_seeds: int) -> pl.DataFrame:
    """Head2Toe is behind by just the margin, more on some tasks and less on others."""
    behind = rng.normal(0, 3, len(TASKS))
    behind = 2.0 + behind - behind.mean()
    values = 60 + 1.5 * rng.normal(size=(2, len(TASKS), num_seeds))
    values[0] -= behind[:, None]
    ways = ["head2toe", "fine-tune"]
    return _records(values, adaptation=ways, task=list(TASKS), shots="full", seed=range(num_seeds))


def unrelated_gains(rng: np.random.Generator, num_seeds: int) -> pl.DataFrame:
    """Head2Toe's gains have nothing to do with affinity; all arms are noisy."""
    affinity, gain = rng.normal(0, 15, len(TASKS))[:, None], rng.normal(10, 4, len(TASKS))[:, None]
    noise = 1.5 * rng.normal(size=(3, len(TASKS), num_seeds))
    probe, scratch = 60 + noise[0], 60 - affinity + noise[1]
    head = 60 + gain + noise[2]
    on = {"task": list(TASKS), "shots": "full", "seed": range(num_seeds)}
    trained = _records(np.stack([probe, head]), adaptation=["linear-probe", "head2toe"], **on)
    untrained = {"method": "none", "source": "none", "size": 0, "adaptation": "fine-tune"}
    return trained.vstack(_records(scratch, **untrained, **on))


def same_spread(rng: np.random.Generator, num_seeds: int) -> pl.DataFrame:
    """Fifteen models and four adaptations, each as much apart as the other."""
    models, ways = _spread(rng, 15, 1.0), _spread(rng, 4, 1.0)
    return _suite(rng, num_seeds, models, ways)


def no_spread(rng: np.random.Generator, num_seeds: int) -> pl.DataFrame:
    """Fifteen models and four adaptations that are all the same."""
    return _suite(rng, num_seeds, np.zeros(15), np.zeros(4))


def no_trend(rng: np.random.Generator, num_seeds: int) -> pl.DataFrame:
    """Fifteen architectures whose accuracy has no slope over their parameters."""
    log_size = np.arange(15.0)
    models = rng.normal(0, 4, 15)
    x = log_size - log_size.mean()
    models = models - x * (models @ x) / (x @ x)
    return _suite(rng, num_seeds, models, np.zeros(2))


SMALL: dict[str, Any] = {
    "models": (3e4, 4.8e5),
    "scratch": tuple(10 * 3.0 ** np.arange(7)),
    "tuned": (10.0, 50.0, 250.0),
}
AS_NEAR = transfers.World({"web": (300.0, 0.3, 0.4), "code": (900.0, 0.3, 0.4)}, **SMALL)
NO_GROWTH = transfers.World({"web": (400.0, 0.3, 0.0)}, **SMALL)


def as_near(rng: np.random.Generator, num_seeds: int) -> pl.DataFrame:
    """Two sources of which one is worth three times the other, at any amount of data."""
    return of_transfer(AS_NEAR, rng, num_seeds)


def no_growth(rng: np.random.Generator, num_seeds: int) -> pl.DataFrame:
    """A source that is worth as much to small models as to large ones."""
    return of_transfer(NO_GROWTH, rng, num_seeds)


def of_transfer(world: transfers.World, rng: np.random.Generator, num_seeds: int) -> pl.DataFrame:
    """The records of a made-up study of transfer, as ``raystudy.annotate`` has them."""
    runs = world.draw(rng, num_seeds)
    rows = []
    for arm, N, D_F, seed, loss in zip(
        runs.arm, runs.N, runs.D_F, runs.seed, runs.loss, strict=True
    ):
        own = ("none", "none", 0) if arm == SCRATCH else ("supervised", arm, 6400)
        place = f"{arm} {N:g} {D_F:g} {seed}"
        values = {"method": own[0], "source": own[1], "size": own[2], "adaptation": "fine-tune"}
        values |= {"architecture": f"{N:g} wide", "shots": f"{D_F / 10:g}", "num_train": int(D_F)}
        values |= {"seed": int(seed), "metric": "nll", "value": loss, "num_tried": 3}
        rows.append(PLACE | values | {"cell": place, "backbone": place, "parameters": int(N)})
    return pl.DataFrame(rows, schema={**SCHEMA, "parameters": pl.Int64})


def _spread(rng: np.random.Generator, number: int, deviation: float) -> np.ndarray:
    values = rng.normal(size=number)
    return deviation * (values - values.mean()) / values.std(ddof=1)


def _suite(
    rng: np.random.Generator, num_seeds: int, models: np.ndarray, ways: np.ndarray
) -> pl.DataFrame:
    """Models × adaptations, in and out of distribution, as ``raystudy.annotate`` has them."""
    shape = len(models), len(ways), num_seeds
    values = 50 + models[:, None, None] + ways[:, None] + 1.5 * rng.normal(size=shape)
    values = values + SHARED * rng.normal(size=num_seeds)
    names = [f"m{i:02}" for i in range(len(models))]
    adaptations = ["fine-tune", "linear-probe", "ridge", "head2toe"][: len(ways)]
    place = {"architecture": names, "adaptation": adaptations, "shots": "full"}
    frames = []
    for split, role in (("test", "id"), ("test-far", "ood")):
        frame = _records(values, split=split, **place, seed=range(num_seeds))
        frames.append(frame.with_columns(role=pl.lit(role)))
    size = pl.col("architecture").str.slice(1).cast(pl.Int64)
    return pl.concat(frames).with_columns(
        family=pl.lit("resnet"), parameters=(2**size * 100_000), data=pl.lit("glyphs")
    )


def _records(values: np.ndarray, **axes) -> pl.DataFrame:
    """Records from accuracies in points, one axis a keyword that is a list or a range."""
    levels = {k: list(v) for k, v in axes.items() if not isinstance(v, str | int)}
    fixed = PLACE | {k: v for k, v in axes.items() if k not in levels}
    rows = [
        fixed
        | dict(zip(levels, place, strict=True))
        | {"cell": "/".join(map(str, place)), "backbone": "/".join(map(str, place)), "value": value}
        for place, value in zip(product(*levels.values()), values.ravel() / 100, strict=True)
    ]
    return pl.DataFrame(rows, schema=SCHEMA)


WORLDS = (
    World("equal sources", SourceSpreadShrinks(**about, size=1000), equal_sources),
    World("steady sources", SourceSpreadShrinks(**about, size=1000), steady_sources),
    World("equal gains", MoreDataHelpsFewShotMost(**about, source="glyphs"), equal_gains),
    World(
        "harmless at one size",
        NoiseHurtsAtEverySize(**about, source="glyphs", shots="10", noise="symmetric-0.6"),
        harmless_at_one,
    ),
    World(
        "a smaller exponent",
        NoiseKeepsExponent(**about, source="glyphs", shots="10", noise="symmetric-0.2"),
        shallower,
    ),
    World(
        "no more than its examples",
        NoiseCostsMoreThanItsExamples(
            **about,
            source="glyphs",
            shots="10",
            noise="symmetric-0.6",
        ),
        no_more_than_its_examples,
    ),
    World(
        "no source is beaten",
        NoSourceWinsEverywhere(
            tasks=TASKS[:3], adaptation="linear-probe", method="clip", size=1000, shots="10"
        ),
        tied_everywhere,
    ),
    World(
        "worth just as much",
        WorthMoreData(
            task="digits",
            adaptation="linear-probe",
            better_method="clip",
            better_source="curated",
            worse_method="clip",
            worse_source="web",
            shots="10",
            at_least=4.0,
        ),
        four_times,
    ),
    World("just behind", Head2ToeMatchesFineTuning(tasks=TASKS, method="clip"), just_behind),
    World(
        "unrelated gains",
        Head2ToeGainsWhereAffinityIsLow(tasks=TASKS, method="clip"),
        unrelated_gains,
    ),
    World("as far apart", ModelOverAdaptation(), same_spread),
    World("all the same", ModelOverAdaptation(), no_spread),
    World("as near", NearerHasSmallerExponent(task="digits", near="code", far="web"), as_near),
    World("no growth", TransferGrowsWithSize(task="digits", source="web"), no_growth),
    World("no trend", TrendOverModels(against="parameters", adaptation="fine-tune"), no_trend),
)


def verdicts(world: World, num_studies: int, num_seeds: int) -> Iterator[str]:
    """The status of each synthetic study, the same for the same numbers."""
    for study in range(num_studies):
        rng = np.random.default_rng([study, num_seeds, *world.name.encode()])
        yield world.claim.judge(world.draw(rng, num_seeds)).status
