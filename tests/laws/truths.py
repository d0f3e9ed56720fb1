"""One curve of every form, with parameters as they come in practice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raystudy.kinds import Law
from raystudy.laws import (
    BoundedPower,
    Broken,
    Chinchilla,
    DataMixing,
    EffectiveData,
    FineTuning,
    NoisySize,
    OffsetPower,
    PiecewisePower,
    Power,
    ProbitLine,
    QualityQuantity,
    RepeatedData,
    ShiftedPower,
    TransferGap,
)


@dataclass(frozen=True)
class Truth:
    law: Law
    x: np.ndarray
    parameters: np.ndarray

    @property
    def y(self) -> np.ndarray:
        return np.asarray(self.law.predict(self.x, self.parameters))

    @property
    def name(self) -> str:
        return type(self.law).__name__


def grid(*axes) -> np.ndarray:
    mesh = np.meshgrid(*axes, indexing="ij")
    return np.stack([axis.ravel() for axis in mesh], axis=1)


SIZES = np.geomspace(1e3, 1e7, 30)
N, D = np.geomspace(1e7, 1e10, 12), np.geomspace(1e8, 3e11, 20)
U = np.geomspace(1e8, 1e10, 4)
REPEATED = np.concatenate(
    [grid(np.geomspace(3e6, 3e9, 6), [u * e for e in (1, 2, 4, 8, 20, 60)], [u]) for u in U]
)
POOLED = np.concatenate([grid([u * e for e in (0.3, 1, 2, 3, 5, 8, 12)], [u]) for u in U])
SHARES = grid(np.linspace(0, 0.6, 6), np.linspace(0, 0.4, 5))


def truth(law: Law, x: np.ndarray, *parameters: float) -> Truth:
    return Truth(law, x, np.array(parameters, dtype=np.float64))


TRUTHS = [
    truth(Power(), SIZES, 6.0, 0.25),
    truth(OffsetPower(), SIZES, 0.08, 8.0, 0.4),
    truth(ShiftedPower(), SIZES, 6.0, 2e-6, 0.3),
    truth(BoundedPower(), SIZES, 0.06, 60.0, 0.5, 0.6, 0.9),
    truth(Broken(), SIZES, 0.05, 1.4, 0.06, 0.6, 1e5, 0.4),
    truth(Chinchilla(), grid(N, D), 1.69, 406.4, 0.34, 410.7, 0.28),
    truth(RepeatedData(), REPEATED, 1.87, 521.0, 0.353, 1488.0, 0.353, 15.0, 5.3),
    truth(QualityQuantity(), POOLED, 0.1, 6.0, 0.2, 4.0),
    truth(NoisySize(), grid(np.geomspace(1e3, 1e6, 8), [0, 0.2, 0.4, 0.6]), 0.1, 6.0, 0.35, 2.0),
    truth(FineTuning(), grid(N[::3], np.geomspace(1e3, 1e7, 8)), 0.9, 30.0, 0.12, 0.1),
    truth(EffectiveData(), grid(np.geomspace(1e4, 1e8, 6), N[::3]), 1.9e4, 0.18, 0.38),
    truth(TransferGap(), np.geomspace(2e4, 1.28e6, 14), 3.0, 0.3, 0.4),
    truth(DataMixing(num_domains=2), SHARES, 1.8, 0.9, -2.5, -0.8),
    truth(PiecewisePower(), SIZES, 4.0, 0.3, -0.03, 1e5),
    truth(ProbitLine(), np.linspace(0.4, 0.9, 30), -0.4, 0.9),
]
"""Each has a minimum that noiseless runs pin down."""
