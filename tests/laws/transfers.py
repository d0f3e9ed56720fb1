"""Made-up studies of transfer of which k, α and β are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raystudy.laws.transfer import SCRATCH, TransferRuns

FINE_TUNED = (10.0, 30.0, 100.0, 300.0)
FROM_SCRATCH = tuple(10 * 2.0 ** np.arange(11))
MODELS = (3e4, 1.2e5, 4.8e5)


@dataclass(frozen=True)
class World:
    """Losses E + A·D^−a from scratch, of models of each size; D_T = k·D_F^α·N^β of each arm."""

    arms: dict[str, tuple[float, float, float]]
    """Name → (D_T of 50 examples and 120,000 parameters, α, β)."""
    run: float = 0.02
    """Standard deviation of the logarithm of a run's loss, of its own."""
    seed: float = 0.02
    """And of what a seed does to all of its runs."""
    models: tuple[float, ...] = MODELS
    scratch: tuple[float, ...] = FROM_SCRATCH
    tuned: tuple[float, ...] = FINE_TUNED

    def loss(self, D: np.ndarray, N: float) -> np.ndarray:
        return 0.05 + 8 * (N / 1e5) ** -0.05 * D**-0.45

    def worth(self, arm: str, D_F: float, N: float) -> float:
        centre, alpha, beta = self.arms[arm]
        return centre * (D_F / 50) ** alpha * (N / 1.2e5) ** beta

    def k(self, arm: str) -> float:
        return self.worth(arm, 1.0, 1.0)

    def draw(self, rng: np.random.Generator, num_seeds: int) -> TransferRuns:
        shared = rng.normal(0, self.seed, num_seeds)
        rows = []
        for N in self.models:
            places = [(SCRATCH, D, D) for D in self.scratch]
            places += [(a, D, D + self.worth(a, D, N)) for a in self.arms for D in self.tuned]
            for arm, D, worth in places:
                centre = float(np.log(self.loss(np.array(worth), N)))
                noise = shared + rng.normal(0, self.run, num_seeds)
                rows += [(arm, N, D, s, np.exp(centre + noise[s])) for s in range(num_seeds)]
        arm, N, D_F, seed, loss = (np.array(column) for column in zip(*rows, strict=True))
        return TransferRuns(arm, N, D_F, seed, loss)


PLAIN = World({"text": (300.0, 0.3, 0.4)})
