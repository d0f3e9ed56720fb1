"""WiSE-FT: a point on the line between the weights before and after fine-tuning.

Wortsman et al., *Robust fine-tuning of zero-shot models*, CVPR 2022, arXiv 2109.01903, equation 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from raystudy.adapt.finetune import FineTune
from raystudy.kinds import Adaptation, Adapted, Encoder, Examples
from raystudy.spec import Rate

if TYPE_CHECKING:
    from torch import nn


class WiseFt(Adaptation):
    """Fine-tunes as ``finetune`` says, then keeps the α with the least validation loss: 0 is the
    backbone with the head that it began with, 1 the fine-tuned model."""

    inputs: ClassVar[Literal["features", "images", "tokens"]] = "images"
    finetune: FineTune = FineTune(head="zero-shot-or-probe")
    alphas: Annotated[tuple[Rate, ...], Field(min_length=1)] = tuple(i / 10 for i in range(11))

    @property
    def name(self) -> str:
        return "wise-ft"

    def configurations(self) -> Sequence[WiseFt]:
        pairs = product(self.finetune.configurations(), self.alphas)
        return [self.model_copy(update={"finetune": f, "alphas": (a,)}) for f, a in pairs]

    def adapt(
        self,
        train: Examples,
        validation: Examples,
        encoder: Encoder,
        prompts: Sequence[Sequence[str]],
        seed: int,
    ) -> Adapted | None:
        """Raises FloatingPointError if fine-tuning or every mixture diverges."""
        from raystudy.adapt.heads import begin
        from raystudy.adapt.training import cost, predictor, tune, validation_loss
        from raystudy.views import device

        preprocessing = encoder.preprocessing
        beginning = begin(self.finetune.head, train, validation, encoder, prompts, seed)
        if beginning is None:
            return None
        tuned = tune(self.finetune, beginning.model, train, validation, preprocessing, seed)
        losses = {}
        for alpha in self.alphas:
            mixture = interpolated(beginning.model, tuned.model, alpha).to(device())
            losses[alpha] = validation_loss(mixture, validation, preprocessing)
        finite = [a for a, loss in losses.items() if loss < float("inf")]
        if not finite:
            raise FloatingPointError("no alpha of WiSE-FT has a finite validation loss")
        alpha = min(finite, key=losses.__getitem__)
        return Adapted(
            predictor(interpolated(beginning.model, tuned.model, alpha), preprocessing),
            {**tuned.chosen, **beginning.chosen, "alpha": alpha},
            num_tried=len(self.finetune.learning_rates) + beginning.num_tried + len(losses),
            cost=cost(tuned, preprocessing),
        )


def interpolated(before: nn.Module, after: nn.Module, alpha: float) -> nn.Module:
    """(1 − α) · before + α · after, running averages of norms included; exact at both ends."""
    import copy

    import torch

    start = before.state_dict()
    mixture = copy.deepcopy(after)
    with torch.no_grad():
        for name, value in mixture.state_dict().items():
            if value.is_floating_point():
                value.copy_(torch.lerp(start[name].to(value), value, alpha))
    return mixture.eval()
