"""Linear probe: logistic regression on frozen features."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from raystudy.kinds import Adaptation, Adapted, Encoder, Examples, Floats


class LinearProbe(Adaptation):
    """Multinomial logistic regression on features standardised by the training examples; the
    strength of its L2 penalty is the one with the least validation loss among ``strengths``."""

    inputs: ClassVar[Literal["features", "images"]] = "features"
    strengths: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1)
    """scikit-learn's C: larger is weaker regularisation."""
    max_iterations: int = 500

    @property
    def name(self) -> str:
        return "linear-probe"

    def adapt(
        self,
        train: Examples,
        validation: Examples,
        encoder: Encoder,
        prompts: Sequence[Sequence[str]],
        seed: int,
    ) -> Adapted:
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits

        standardise = _standardiser(train.inputs)
        x = standardise(train.inputs)
        # The L2 optimum lies in the span of the training rows: with fewer rows than features the
        # problem is solved exactly in those few dimensions.
        best_loss, best = np.inf, None
        with threadpool_limits(1):  # small problems: threads cost ten times what they bring
            basis_DxR = np.linalg.svd(x, full_matrices=False)[2].T
            held_out = standardise(validation.inputs) @ basis_DxR
            model: Any = LogisticRegression(max_iter=self.max_iterations, warm_start=True)
            for strength in sorted(self.strengths):
                model.set_params(C=strength).fit(x @ basis_DxR, train.labels)
                head = (model.coef_.copy(), model.intercept_.copy(), model.classes_)
                loss = _loss(_logits(held_out, *head, len(prompts)), validation.labels)
                if loss < best_loss:
                    best_loss, best = loss, (strength, head)
        if best is None:
            raise FloatingPointError("no strength gave a finite validation loss; check features")
        strength, head = best

        def predict(features: Floats) -> Floats:
            return _logits(standardise(features) @ basis_DxR, *head, len(prompts)).astype(
                np.float32
            )

        return Adapted(predict, {"C": strength}, num_tried=len(self.strengths))


def _standardiser(features: Floats) -> Callable[[Floats], Floats]:
    """Zero mean and unit deviation on ``features`` (N, D). A feature that hardly varies among a few
    shots is scaled as if it varied a tenth as much as the others: it may be silent in the support
    and loud elsewhere, and would drown the rest."""
    mean, deviation = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    floor = 0.1 * np.sqrt(np.mean(deviation**2)) + 1e-12
    scale = np.maximum(deviation, floor)
    return lambda x: (x.astype(np.float64) - mean) / scale


def _logits(
    x: Floats, coef: Floats, intercept: Floats, classes: Floats, num_classes: int
) -> Floats:
    """(N, D) → (N, C); a class without a training example gets −∞-like logits."""
    scores = x @ coef.T + intercept
    if len(classes) == 2:  # scikit-learn keeps one row for two classes
        scores = np.concatenate([-scores / 2, scores / 2], axis=1)
    logits = np.full((len(x), num_classes), -1e4)
    logits[:, classes.astype(int)] = scores
    return logits


def _loss(logits: Floats, labels: np.ndarray) -> float:
    top = logits.max(1, keepdims=True)
    log_sum = top[:, 0] + np.log(np.exp(logits - top).sum(1))
    return float(np.mean(log_sum - logits[np.arange(len(labels)), labels]))
