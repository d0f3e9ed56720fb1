"""Full fine-tuning: every weight moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from raystudy.kinds import Adaptation, Adapted, Encoder, Examples
from raystudy.spec import Augmentation, Positive, Rate

Head = Literal["zeros", "probe", "zero-shot", "zero-shot-or-probe"]
NAMES: dict[Head, str] = {
    "zeros": "fine-tune",
    "probe": "lp-ft",
    "zero-shot": "zero-shot-ft",
    "zero-shot-or-probe": "best-head-ft",
}


class FineTune(Adaptation):
    """AdamW, or SGD, from a head of zeros, a linear probe's (LP-FT, Kumar et al. 2022, arXiv
    2202.10054) or the zero-shot one; the learning rate with the least validation loss is kept. On
    an untrained backbone (``Initialisation``) this is training from scratch."""

    inputs: ClassVar[Literal["features", "images", "tokens"]] = "images"
    learning_rates: tuple[Annotated[float, Field(gt=0)], ...] = (1e-3,)
    num_steps: Annotated[int, Field(ge=0)] = 100
    """0: the head that it begins with, and nothing moves."""
    batch_size: Positive = 32
    weight_decay: float = 0.05
    warmup_fraction: Rate = 0.1
    augmentation: Augmentation = Augmentation()
    head: Head = "zeros"
    """``zero-shot`` asks for a backbone that knows the classes' names; others are left out, or get
    a probe's. The probe is ``LinearProbe()`` on features of the same images."""
    epochs: Annotated[float, Field(gt=0)] | None = None
    """Passes over the training examples, in place of ``num_steps``."""
    schedule: Literal["one-cycle", "cosine"] = "one-cycle"
    """Up along half a cosine from a 25th of the learning rate, and down along another; or up along
    a line from zero, and down to zero along half a cosine, as in pre-training."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = None
    """Of the learning rate, from each layer to the one below it (``adapt/layer_decay.py``)."""
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    decays_vectors: bool = True
    """Weight decay on biases and norms too."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    rand_augment: Annotated[str, Field(pattern=r"^[a-z]+[\d.]+(-[a-z]+[\d.]*)*$")] | None = None
    """As timm writes it: ``m9-mstd0.5-inc1`` is magnitude 9, deviation 0.5, harder with it."""
    erase_rate: Rate = 0.0
    """The share of views of which a rectangle is replaced by noise (Zhong et al. 2017)."""
    evaluate_every: Positive | None = None
    """Steps between looks at the validation examples; the weights of the best look are kept. By
    default the only look is at the end."""
    patience: Positive | None = None
    """Stop after so many looks in a row that were no better."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the forward pass in training (autocast)."""
    optimiser: Literal["adamw", "sgd"] = "adamw"
    """SGD with a momentum of 0.9."""
    checkpoint: Literal["best", "last"] = "best"
    """Of the looks, whose weights are kept, and by whose loss learning rates are compared: with
    ``last`` the looks before the last step are left out, and the name says so."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.num_steps == 1:
            raise ValueError(
                "FineTune.num_steps=1 leaves no room for a warm-up and a decay; ask for 0, which "
                "keeps the head as it begins, or for 2 and more"
            )
        if not self.learning_rates:
            raise ValueError("FineTune.learning_rates is empty; name one")
        if self.patience and not self.evaluate_every:
            raise ValueError(
                "FineTune.patience counts looks at the validation examples, of which there is one; "
                "set evaluate_every too"
            )
        if self.checkpoint == "last" and (self.patience or not self.evaluate_every):
            raise ValueError(
                "FineTune.checkpoint='last' is for comparison with the best of several looks: it "
                "goes with evaluate_every, and without patience"
            )
        return self

    @property
    def name(self) -> str:
        return NAMES[self.head] + ("-last-step" if self.checkpoint == "last" else "")

    def configurations(self) -> Sequence[FineTune]:
        return [self.model_copy(update={"learning_rates": (r,)}) for r in self.learning_rates]

    def steps_for(self, num_train: int) -> int:
        """Optimiser steps at each learning rate, for so many training examples."""
        if self.epochs is None:
            return self.num_steps
        return max(2, round(self.epochs * num_train / min(self.batch_size, num_train)))

    def adapt(
        self,
        train: Examples,
        validation: Examples,
        encoder: Encoder,
        prompts: Sequence[Sequence[str]],
        seed: int,
    ) -> Adapted | None:
        """Raises FloatingPointError if every learning rate diverges."""
        from raystudy.adapt.heads import begin
        from raystudy.adapt.training import cost, predictor, tune

        beginning = begin(self.head, train, validation, encoder, prompts, seed)
        if beginning is None:
            return None
        tuned = tune(self, beginning.model, train, validation, encoder.preprocessing, seed)
        return Adapted(
            predictor(tuned.model, encoder.preprocessing),
            {**tuned.chosen, **beginning.chosen},
            num_tried=len(self.learning_rates) + beginning.num_tried,
            cost=cost(tuned, encoder.preprocessing),
        )
