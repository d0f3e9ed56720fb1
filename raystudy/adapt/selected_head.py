"""Linear heads on the features that a group lasso ranks first, in the two ways of Head2Toe.

Shapes: N examples, D features of all layers, K of them kept, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

import numpy as np

from raystudy.adapt import group_lasso
from raystudy.adapt.adam_head import train_head
from raystudy.adapt.centred_logistic import logistic_heads
from raystudy.adapt.head2toe_cost import head_flops
from raystudy.adapt.unit_groups import unit_groups
from raystudy.kinds import Floats, Integers

LEFT_OUT = -1e4
"""The logit of a class without a training example."""


class Choice(NamedTuple):
    """What a head is fitted with."""

    strength: float
    """λ of the scores; 0 where every feature is kept, and none is scored."""
    keep: float
    rate: float
    """Of the head: scikit-learn's C, or Adam's learning rate."""


@dataclass(frozen=True)
class Head:
    """Linear in some of the features, each group of which is divided by its norm."""

    kept_K: Integers
    group_of_K: Integers
    weights_KxC: Floats
    bias_C: Floats
    classes: Integers
    """Those that it tells apart, by their places among ``num_classes``."""
    num_classes: int

    def logits(self, features_NxD: Floats) -> Floats:
        """(N, ``num_classes``) float32; −∞-like for a class that it does not know."""
        x = unit_groups(features_NxD[:, self.kept_K], self.group_of_K)
        out = np.full((len(x), self.num_classes), LEFT_OUT, np.float32)
        out[:, self.classes] = x @ self.weights_KxC.astype(x.dtype) + self.bias_C
        return out


@dataclass(frozen=True)
class Fitted:
    choice: Choice
    head: Head
    flops: float
    """Of this one alone, or of this and those after it that share its work."""


@dataclass(frozen=True)
class Problem:
    """N labelled examples; ``group_of_D`` says which layer each feature is of."""

    x_NxD: Floats
    labels_N: Integers
    group_of_D: Integers
    num_classes: int
    seed: int

    def __len__(self) -> int:
        return len(self.labels_N)

    def take(self, rows: Integers) -> Problem:
        return replace(self, x_NxD=self.x_NxD[rows], labels_N=self.labels_N[rows])

    @cached_property
    def unit_NxD(self) -> Floats:
        return unit_groups(self.x_NxD, self.group_of_D)

    @cached_property
    def classes(self) -> Integers:
        return np.unique(self.labels_N)

    @property
    def targets_N(self) -> Integers:
        """Places in ``classes``."""
        return np.searchsorted(self.classes, self.labels_N)

    def unit_of(self, kept: Integers) -> Floats:
        """The normalised features that are kept, normalised again among themselves."""
        if len(kept) == len(self.group_of_D):
            return self.unit_NxD
        return unit_groups(self.unit_NxD[:, kept], self.group_of_D[kept])

    def head(self, kept: Integers, weights: Floats, bias: Floats) -> Head:
        return Head(kept, self.group_of_D[kept], weights, bias, self.classes, self.num_classes)


def ranked(scores_D: Floats, keep: float) -> Integers:
    """The ⌊keep · D⌋ features with the highest scores, and at least one, ascending; of equal ones
    the first."""
    num_kept = max(1, int(len(scores_D) * keep))
    return np.sort(np.argsort(-scores_D, kind="stable")[:num_kept])


def fit_exactly(problem: Problem, choices: Sequence[Choice]) -> Iterator[Fitted]:
    """Scores from the optimum of the group lasso, heads with an L2 penalty; one path of λ serves
    all shares, one decomposition all penalties."""
    targets, C, D = problem.targets_N, len(problem.classes), len(problem.group_of_D)
    strengths = sorted({c.strength for c in choices if c.keep < 1}, reverse=True)
    scored = group_lasso.path(problem.unit_NxD, targets, C, strengths) if strengths else []
    scores = {0.0: np.zeros(D)} | {s.strength: s.scores_D for s in scored}
    spent = sum(s.flops for s in scored)
    for (strength, keep), alike in groupby(sorted(choices), lambda c: c[:2]):
        same = list(alike)
        kept = ranked(scores[strength], keep)
        found = logistic_heads(problem.unit_of(kept), targets, C, [c.rate for c in same])
        for choice, one in zip(same, found, strict=True):
            yield Fitted(choice, problem.head(kept, one.weights, one.bias), spent + one.flops)
            spent = 0.0


def fit_as_published(
    problem: Problem, choices: Sequence[Choice], num_steps: int
) -> Iterator[Fitted]:
    """Scores and unregularised heads from ``num_steps`` of Adam, at one learning rate for both."""
    targets, C, D = problem.targets_N, len(problem.classes), len(problem.group_of_D)

    def train(x: Floats, rate: float, strength: float) -> tuple[Floats, Floats]:
        return train_head(
            x,
            targets,
            C,
            learning_rate=rate,
            num_steps=num_steps,
            seed=problem.seed,
            strength=strength,
        )

    ordered = sorted(choices, key=lambda c: (c.strength, c.rate))
    for (strength, rate), alike in groupby(ordered, lambda c: (c.strength, c.rate)):
        scores, spent = np.zeros(D), 0.0
        if strength:
            scores = np.linalg.norm(train(problem.unit_NxD, rate, strength)[0], axis=1)
            spent = head_flops(num_steps, C, D)
        for choice in alike:
            kept = ranked(scores, choice.keep)
            head = problem.head(kept, *train(problem.unit_of(kept), rate, 0.0))
            yield Fitted(choice, head, spent + head_flops(num_steps, C, len(kept)))
            spent = 0.0
