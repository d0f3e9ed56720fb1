"""Label noise by a transition matrix, as one is estimated from people who label."""

import math
from dataclasses import replace
from functools import cached_property
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from raystudy.key import digest
from raystudy.kinds import Annotations, Floats, Noise
from raystudy.noise.draws import count_classes, hits, targets
from raystudy.spec import Rate

TOLERANCE = 1e-6
"""How far from 1 a row may sum."""


class Transition(Noise):
    """Class c becomes class d with probability ``matrix[c][d]`` (Patrini et al. 2017, arXiv
    1609.03683).

    ``strength`` s mixes the matrix T with the identity, (1 − s)·I + s·T. Only how many examples
    leave their class depends on s, not where those that leave go, so the noise nests in s.
    """

    corrupts: ClassVar[Literal["label", "caption"]] = "label"
    matrix: Annotated[tuple[tuple[Rate, ...], ...], Field(min_length=2)]
    """C rows of C probabilities; each row sums to 1. ``.tolist()`` of an array will do."""
    strength: Rate = 1.0
    label: str | None = None
    """How tables call it, before its rate, if not by a digest of its matrix."""

    @property
    def name(self) -> str:
        return f"{self.label or f'transition-{self._of_matrix[0]}'}-{self.nominal_rate:.3g}"

    @property
    def nominal_rate(self) -> float:
        """Of classes that are equally frequent; of others the realised rate is another."""
        return self.strength * self._of_matrix[1]

    def corrupt(self, clean: Annotations, seed: int) -> Annotations:
        """Raises ValueError if the matrix is not one of as many classes as there are."""
        num_classes = count_classes(self, clean)
        if num_classes != len(self.matrix):
            raise ValueError(
                f"{self.name}: Transition.matrix has {len(self.matrix)} rows, but the source has "
                f"{num_classes} classes"
            )
        leaving = _leaving(self.matrix)
        hit = hits(self, clean, self.strength * leaving.sum(axis=1)[clean.labels], seed)
        draws, labels = targets(clean, seed), clean.labels.copy()
        rows = np.flatnonzero(hit)
        rows = rows[np.argsort(clean.labels[rows], kind="stable")]
        ends = np.cumsum(np.bincount(clean.labels[rows], minlength=num_classes))
        for of_row, of_class in zip(leaving, np.split(rows, ends[:-1]), strict=True):
            if of_class.size:
                below = np.cumsum(of_row)
                below /= below[-1]  # exactly 1 from the last possible class on
                labels[of_class] = np.searchsorted(below, draws[of_class], side="right")
        return replace(clean, labels=labels)

    @cached_property
    def _of_matrix(self) -> tuple[str, float]:
        """Its digest and its mean rate: every record asks for them, and C may be thousands."""
        return digest(self.matrix)[:4], min(1.0, float(_leaving(self.matrix).sum(axis=1).mean()))

    @field_validator("matrix")
    @classmethod
    def _is_stochastic(cls, rows: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
        for c, row in enumerate(rows):
            if len(row) != len(rows):
                raise ValueError(
                    f"row {c} has {len(row)} entries; of {len(rows)} rows each has as many"
                )
            if abs(math.fsum(row) - 1) > TOLERANCE:
                raise ValueError(
                    f"row {c} sums to {math.fsum(row):.9g}, not to 1; divide it by its sum"
                )
        return rows


def _leaving(matrix: tuple[tuple[float, ...], ...]) -> Floats:
    """The probabilities to become each other class, with a diagonal of 0. Shape (C, C)."""
    leaving = np.array(matrix, dtype=np.float64)
    leaving /= leaving.sum(axis=1, keepdims=True)  # rounded rows sum to 1 within a tolerance only
    np.fill_diagonal(leaving, 0)
    return leaving
