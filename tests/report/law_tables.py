"""Made-up runs of known laws, as tables and as arms with fits."""

from __future__ import annotations

import numpy as np
import polars as pl

from raystudy.laws import HUBER, Chinchilla, OffsetPower, fit
from raystudy.report.law_arms import LawArm, law_arm

SIZES = (500, 1000, 2000, 4000, 8000, 16_000)
LAWS = {"latin": (0.06, 14.0, 0.60), "greek": (0.07, 11.0, 0.55), "symbols": (0.30, 10.0, 0.52)}


def runs(seeds: int = 4, sizes: tuple[int, ...] = SIZES, noise: float = 0.02) -> pl.DataFrame:
    """Columns source, size, error, seed: one row a run."""
    rng = np.random.default_rng(3)
    return pl.DataFrame(
        [
            (name, n, (E + A * n**-alpha) * float(np.exp(rng.normal(0, noise))), seed)
            for name, (E, A, alpha) in LAWS.items()
            for n in sizes
            for seed in range(seeds)
        ],
        schema=["source", "size", "error", "seed"],
        orient="row",
    )


def arms(table: pl.DataFrame, num_resamples: int = 200) -> list[LawArm]:
    return [
        law_arm(
            str(name),
            fit(own, OffsetPower(), x="size", y="error", seed="seed", num_resamples=num_resamples),
        )
        for (name,), own in table.group_by("source", maintain_order=True)
    ]


CHINCHILLA = (1.8, 480.0, 0.35, 2100.0, 0.37)


def compute_runs(noise: float = 0.005) -> pl.DataFrame:
    """Columns params, tokens, loss on a grid, of a known law."""
    rng = np.random.default_rng(5)
    E, A, alpha, B, beta = CHINCHILLA
    return pl.DataFrame(
        [
            (N, D, (E + A / N**alpha + B / D**beta) * float(np.exp(rng.normal(0, noise))))
            for N in np.geomspace(5e7, 1e10, 8)
            for D in np.geomspace(1e9, 3e11, 7)
        ],
        schema=["params", "tokens", "loss"],
        orient="row",
    )


def chinchilla(num_resamples: int = 60) -> LawArm:
    found = fit(
        compute_runs(),
        Chinchilla(),
        x=["params", "tokens"],
        y="loss",
        loss=HUBER,
        num_resamples=num_resamples,
    )
    return law_arm("loss", found)
