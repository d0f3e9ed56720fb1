"""Ridge: least squares on frozen features, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from raystudy.adapt.affine import Affine, choose, choosing, squared_error
from raystudy.adapt.span import Span, few_threads, spans
from raystudy.kinds import Adapted, Encoder, Examples, Probe, Support

Penalty = Annotated[float, Field(gt=0)]


class Ridge(Probe):
    """Linear regression on one-hot targets with an L2 penalty but on the intercepts, on features
    standardised by the training examples (as ``LinearProbe`` does). One eigendecomposition gives
    the solution for every penalty.

    The penalty is chosen by the squared error on validation data: what is minimised in training,
    and smoother than accuracy, which many penalties share. Logits are regression scores, mostly
    between 0 and 1, and not calibrated: their argmax means something, their log-likelihood little.
    Classes without a training example get logits of −1e4 and no say in the choice.

    Costs: as of ``LinearProbe``, without a solver's products.
    """

    penalties: Annotated[tuple[Penalty, ...], Field(min_length=1)] = (1.0, 1e1, 1e2, 1e3, 1e4, 1e5)
    """scikit-learn's alpha: larger is stronger regularisation."""

    @property
    def name(self) -> str:
        return "ridge"

    def configurations(self) -> Sequence[Ridge]:
        return [self.model_copy(update={"penalties": (p,)}) for p in self.penalties]

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
                heads = self._heads(span, len(prompts))
                for i in span.members:
                    held_out = choosing(validation, supports[i], span.classes_K)
                    penalty, head = choose(heads, held_out, squared_error)
                    folds = span.z_NxR.shape[1] + len(held_out)
                    flops = span.flops + 2.0 * head.weights_DxK.size * len(heads) * folds
                    cost = {"flops": flops, "stored_bytes": head.stored_bytes}
                    found[i] = Adapted(head, {"alpha": penalty}, len(heads), cost)
        return [found[i] for i in range(len(supports))]

    def _heads(self, span: Span, num_classes: int) -> list[tuple[float, Affine]]:
        """From the strongest penalty to the weakest."""
        hot_NxK = (span.targets_N[:, None] == np.arange(len(span.classes_K))).astype(np.float64)
        squares_R = np.einsum("nr,nr->r", span.z_NxR, span.z_NxR)
        # Coordinates are centred, so centring the targets would change nothing.
        across_RxK = span.z_NxR.T @ hot_NxK
        return [
            (
                penalty,
                span.unfold(
                    across_RxK / (squares_R + penalty)[:, None], hot_NxK.mean(0), num_classes
                ),
            )
            for penalty in sorted(self.penalties, reverse=True)
        ]
