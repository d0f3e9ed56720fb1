"""Head2Toe-FT: fine-tuning of every weight, from the head that Head2Toe finds.

U. Evci et al., *Head2Toe: Utilizing Intermediate Representations for Better Transfer Learning*,
ICML 2022 (arXiv 2201.03529). Which features are kept stays as Head2Toe chose it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from raystudy.adapt.finetune import FineTune
from raystudy.adapt.head2toe import Head2Toe
from raystudy.kinds import Adaptation, Adapted, Encoder, Examples


class Head2ToeFT(Adaptation):
    """``head2toe`` on the features of all layers, then ``finetune`` of backbone and head together;
    each chooses by the validation examples."""

    inputs: ClassVar[Literal["features", "images", "tokens"]] = "images"
    head2toe: Head2Toe = Head2Toe()
    finetune: FineTune = FineTune()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name in ("head", "layer_decay"):
            if getattr(self.finetune, name) != FineTune.model_fields[name].default:
                raise ValueError(
                    f"Head2ToeFT.finetune.{name}={getattr(self.finetune, name)!r}: the head is "
                    "Head2Toe's and reads every layer; leave it at its default"
                )
        return self

    @property
    def name(self) -> str:
        return f"{self.head2toe.name}-ft"

    def configurations(self) -> Sequence[Head2ToeFT]:
        pairs = product(self.head2toe.configurations(), self.finetune.configurations())
        return [self.model_copy(update={"head2toe": h, "finetune": f}) for h, f in pairs]

    def adapt(
        self,
        train: Examples,
        validation: Examples,
        encoder: Encoder,
        prompts: Sequence[Sequence[str]],
        seed: int,
    ) -> Adapted | None:
        """Raises ValueError where Head2Toe cannot choose, FloatingPointError if every learning rate
        diverges."""
        from torch import nn

        from raystudy.adapt.selected_layer import SelectedLayer
        from raystudy.adapt.training import cost, predictor, tune
        from raystudy.taps import Taps
        from raystudy.views import device, embed

        taps = Taps(encoder.module, self.head2toe.taps_size).eval().to(device())

        def seen(examples: Examples) -> Examples:
            return replace(examples, inputs=embed(taps, examples.array, encoder.preprocessing))

        found = self.head2toe.adapt(seen(train), seen(validation), encoder, prompts, seed)
        assert found is not None  # any features will do
        model = nn.Sequential(taps, SelectedLayer.of(found.predict)).cpu()
        tuned = tune(self.finetune, model, train, validation, encoder.preprocessing, seed)
        spent = cost(tuned, encoder.preprocessing)
        return Adapted(
            predictor(tuned.model, encoder.preprocessing),
            {**found.chosen, **tuned.chosen},
            num_tried=found.num_tried + len(self.finetune.learning_rates),
            cost={**spent, "flops": spent["flops"] + found.cost["flops"]},
        )
