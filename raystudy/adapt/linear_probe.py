"""Linear probe: logistic regression on frozen features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from raystudy.adapt import logistic
from raystudy.adapt.affine import Affine, choose, choosing, negative_log_likelihood
from raystudy.adapt.span import Span, few_threads, spans
from raystudy.kinds import Adapted, Encoder, Examples, Probe, Support

Strength = Annotated[float, Field(gt=0)]


class LinearProbe(Probe):
    """Multinomial logistic regression on features standardised by the training examples; the
    strength of its L2 penalty is the one with the least validation loss among ``strengths``, the
    strongest of those that agree.

    Each optimum is found exactly (``raystudy.adapt.logistic``), all strengths together, in the few
    dimensions that a few-shot problem has. Classes without a training example
    get logits of −1e4 and no say in the choice; if only one class has any, it is always predicted.

    Costs: ``flops`` are those of the Gram matrix, its eigendecomposition, the products with the
    rows that the solver took (without its preconditioner), and the scores of all strengths on
    validation data; ``stored_bytes`` are weights and biases in single precision, the
    standardisation folded in. Supports with the same training rows are solved once, and each is
    charged in full.
    """

    VERSION: ClassVar[int] = 2
    strengths: Annotated[tuple[Strength, ...], Field(min_length=1)] = (1e-4, 1e-3, 1e-2, 1e-1)
    """scikit-learn's C: larger is weaker regularisation."""
    max_iterations: Annotated[int, Field(gt=0)] = 500
    """Newton steps that the strengths may take (rarely more than twenty); FloatingPointError if
    one wants more."""

    @property
    def name(self) -> str:
        return "linear-probe"

    def configurations(self) -> Sequence[LinearProbe]:
        return [self.model_copy(update={"strengths": (s,)}) for s in self.strengths]

    def adapt_all(
        self,
        train: Examples,
        validation: Examples,
        supports: Sequence[Support],
        encoder: Encoder,
        prompts: Sequence[Sequence[str]],
    ) -> Sequence[Adapted]:
        found: dict[int, Adapted] = {}
        with few_threads(supports):
            for span in spans(train, supports):
                heads, flops = self._solve(span, len(prompts))
                for i in span.members:
                    held_out = choosing(validation, supports[i], span.classes_K)
                    strength, head = choose(heads, held_out, negative_log_likelihood)
                    scores = 2.0 * head.weights_DxK.size * len(heads) * len(held_out)
                    cost = {"flops": flops + scores, "stored_bytes": head.stored_bytes}
                    found[i] = Adapted(head, {"C": strength}, len(heads), cost)
        return [found[i] for i in range(len(supports))]

    def _solve(self, span: Span, num_classes: int) -> tuple[list[tuple[float, Affine]], float]:
        """A head for each strength, from strong to weak regularisation, and what they took."""
        strengths = sorted(self.strengths)
        (N, R), K = span.z_NxR.shape, len(span.classes_K)
        x_NxR1 = np.concatenate([span.z_NxR, np.ones((N, 1))], axis=1)
        optima = logistic.solve(x_NxR1, span.targets_N, K, strengths, self.max_iterations)
        heads = [
            (strength, span.unfold(weights[:-1], weights[-1], num_classes))
            for strength, weights in zip(strengths, optima.weights_SxRxK, strict=True)
        ]
        products = 2.0 * N * (R + 1) * K * float(optima.num_products_S.sum())
        unfolded = 2.0 * span.axes_DxR.size * K * len(strengths)
        return heads, span.flops + products + unfolded
