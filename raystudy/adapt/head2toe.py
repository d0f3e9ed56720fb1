"""Head2Toe: a linear head on the few features of all layers that a group lasso ranks first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from raystudy.adapt.head2toe_cost import head2toe_bytes
from raystudy.adapt.selected_head import (
    Choice,
    Fitted,
    Head,
    Problem,
    fit_as_published,
    fit_exactly,
)
from raystudy.adapt.unit_groups import group_of
from raystudy.kinds import Adapted, Encoder, Examples, Floats, Integers, Probe, Support
from raystudy.randomness import uniform
from raystudy.spec import Positive

Share = Annotated[float, Field(gt=0, le=1)]
AboveZero = Annotated[float, Field(gt=0)]
Score = tuple[float, float]
"""What chooses between heads: the least is the best."""


class Head2Toe(Probe):
    """U. Evci et al., *Head2Toe: Utilizing Intermediate Representations for Better Transfer
    Learning*, ICML 2022 (arXiv 2201.03529).

    The features of each layer are divided by their norm, example by example; softmax regression
    with the group lasso λ Σᵢ ‖Wᵢ,:‖ scores each feature by ‖Wᵢ,:‖; the ⌊keep · D⌋ best of all
    layers together are kept, and normalised again among themselves; a new head is fitted to them.
    With all kept, this is the paper's "+All".

    ``solver="adam"`` follows the paper: the scores and an unregularised head from ``num_steps`` of
    Adam, chosen by validation accuracy, then loss. ``solver="exact"`` brings the group lasso to
    its optimum, where a feature of weight zero is ranked by how nearly its gradient would have it
    enter. There a head without penalty has no optimum (few examples in many features are told
    apart without error, by weights that grow for ever), so the head has an L2 penalty and the
    least validation loss chooses, as for a linear probe.
    """

    taps_size: Positive = 512
    """To about how many features each layer is pooled."""
    keep: tuple[Share, ...] = (0.002, 0.01, 0.05, 0.2, 1.0)
    strengths: tuple[AboveZero, ...] = (1e-2, 3e-3, 1e-3)
    """λ of the group lasso: larger is stronger."""
    solver: Literal["exact", "adam"] = "exact"
    head_strengths: tuple[AboveZero, ...] = (1.0, 10.0, 100.0, 1000.0)
    """Of the exact solver's head, scikit-learn's C: larger is weaker regularisation."""
    learning_rates: tuple[AboveZero, ...] = (0.1, 0.01)
    """Of Adam, for the scores and the head alike; as are the steps."""
    num_steps: Positive = 500
    cross_validation: Annotated[int, Field(ge=0)] = 0
    """Choose by so many folds of the training examples, where the paper has 5, in place of the
    validation examples; zero for none."""

    @property
    def name(self) -> str:
        return "head2toe" if self.solver == "exact" else "head2toe-adam"

    @property
    def taps(self) -> int:
        return self.taps_size

    def configurations(self) -> Sequence[Head2Toe]:
        rate = "head_strengths" if self.solver == "exact" else "learning_rates"
        return [
            self.model_copy(
                update={
                    "strengths": (c.strength,) if c.strength else self.strengths,
                    "keep": (c.keep,),
                    rate: (c.rate,),
                }
            )
            for c in self.choices()
        ]

    def adapt_all(
        self,
        train: Examples,
        validation: Examples,
        supports: Sequence[Support],
        encoder: Encoder,
        prompts: Sequence[Sequence[str]],
    ) -> Sequence[Adapted]:
        """Takes the memory of three times the training features of one support.

        Raises ValueError where there is nothing to choose by, or too few of a class for folds.
        """
        from threadpoolctl import threadpool_limits

        group_of_D = group_of(encoder.groups(self.taps_size).values())
        if train.array.shape[1] != len(group_of_D):
            raise ValueError(
                f"Head2Toe was given {train.array.shape[1]} features of each example, and the "
                f"layers of the backbone give {len(group_of_D)} at taps_size={self.taps_size}"
            )
        adapted = []
        with threadpool_limits(1):  # most products are small: threads cost more than they bring
            for support in supports:
                learned = train.take(support.train)
                held_out = validation.take(support.validation)
                problem = Problem(
                    _finite(learned.array), learned.labels, group_of_D, len(prompts), support.seed
                )
                adapted.append(self._adapt(problem, learned.ids, held_out))
        return adapted

    def choices(self) -> list[Choice]:
        """All that is tried, each once: where every feature is kept, λ makes no difference."""
        rates = self.head_strengths if self.solver == "exact" else self.learning_rates
        shares = [share for share in self.keep if share < 1]
        pairs = [(strength, share) for strength in self.strengths for share in shares]
        pairs += [(0.0, 1.0)] if 1 in self.keep else []
        return [Choice(strength, share, rate) for strength, share in pairs for rate in rates]

    def _adapt(self, problem: Problem, ids: Sequence[str], validation: Examples) -> Adapted:
        choices, flops = self.choices(), 0.0
        num_tried = len(choices)
        if num_tried > 1 and self.cross_validation:
            scores = dict.fromkeys(choices, (0.0, 0.0))
            for learned, judged in _folds(ids, problem, self.cross_validation):
                rest, held_out = problem.take(learned), problem.take(judged)
                for one in self._fit(rest, choices):
                    first, second = self._score(one.head, held_out.x_NxD, held_out.labels_N)
                    before = scores[one.choice]
                    scores[one.choice] = before[0] + first, before[1] + second
                    flops += one.flops
            choices = [min(choices, key=lambda c: scores[c])]
        elif num_tried > 1 and not len(validation):
            raise ValueError(
                "Head2Toe has several heads to choose from and no validation example: ask for "
                "cross_validation=5, or give each of its fields one value"
            )
        best, least = None, (np.inf, np.inf)
        for one in self._fit(problem, choices):
            flops += one.flops
            score = (
                self._score(one.head, validation.array, validation.labels)
                if len(choices) > 1
                else (0.0, 0.0)
            )
            if score < least:
                best, least = one, score
        if best is None:
            raise FloatingPointError("no head of Head2Toe gave a finite validation loss")
        return _adapted(self, best, problem, num_tried, flops)

    def _fit(self, problem: Problem, choices: Sequence[Choice]) -> Iterator[Fitted]:
        if self.solver == "exact":
            return fit_exactly(problem, choices)
        return fit_as_published(problem, choices, self.num_steps)

    def _score(self, head: Head, features: Floats, labels: Integers) -> Score:
        logits = head.logits(features).astype(np.float64)
        if not np.isfinite(logits).all():
            return np.inf, np.inf
        top = logits.max(1)
        of_label = logits[np.arange(len(labels)), labels]
        loss = float((top + np.log(np.exp(logits - top[:, None]).sum(1)) - of_label).mean())
        error = float((logits.argmax(1) != labels).mean())
        return (loss, error) if self.solver == "exact" else (error, loss)


def _folds(
    ids: Sequence[str], problem: Problem, num_folds: int
) -> Iterator[tuple[Integers, Integers]]:
    """Rows that are learned from and rows that are held out, in turn: each class spread over the
    folds, in an order drawn from the examples' ids. At most as many folds as the rarest class has
    examples."""
    order = np.argsort(uniform(problem.seed, "head2toe/folds", ids), kind="stable")
    counts = np.unique(problem.labels_N, return_counts=True)[1]
    num_folds = min(num_folds, int(counts.min()))
    if num_folds < 2:
        raise ValueError(
            "Head2Toe.cross_validation holds out one example of each class in turn, and a class "
            "has only one: choose by validation examples, with cross_validation=0"
        )
    fold_of = np.empty(len(problem), np.int64)
    # Where one class ends the next goes on, so that the folds are of one size.
    by_class = order[np.argsort(problem.labels_N[order], kind="stable")]
    fold_of[by_class] = np.arange(len(problem)) % num_folds
    for fold in range(num_folds):
        yield np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)


def _adapted(
    spec: Head2Toe, fitted: Fitted, problem: Problem, num_tried: int, flops: float
) -> Adapted:
    head, choice, D = fitted.head, fitted.choice, len(problem.group_of_D)
    rate = "C" if spec.solver == "exact" else "learning_rate"
    chosen: Mapping[str, float | str] = {"keep": choice.keep, rate: choice.rate}
    if choice.strength:
        chosen = {"strength": choice.strength, **chosen}
    stored = head2toe_bytes(len(head.classes), D, len(head.kept_K))
    return Adapted(head.logits, chosen, num_tried, {"flops": flops, "stored_bytes": stored})


def _finite(features: Floats) -> Floats:
    if not np.isfinite(features).all():
        bad = int((~np.isfinite(features)).any(0).sum())
        raise ValueError(
            f"{bad} of {features.shape[1]} features are not finite in the training examples: this "
            "backbone has diverged"
        )
    return features
