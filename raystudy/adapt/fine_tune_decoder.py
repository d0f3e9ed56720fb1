"""Training a decoder on a task's contexts to its early-stopped optimum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from raystudy.kinds import Adaptation, Adapted, Encoder, Examples
from raystudy.spec import Positive


class FineTuneDecoder(Adaptation):
    """AdamW at a constant rate over every weight, until the validation loss has ceased to fall; of
    all looks at it and all learning rates the best is kept. On an untrained decoder
    (``Initialisation``) this is training from scratch: the same grid for both arms.

    Looks come at steps that grow by a constant factor, so that an optimum after ten steps and one
    after ten thousand are found alike closely.
    """

    VERSION: ClassVar[int] = 1
    inputs: ClassVar[Literal["features", "images", "tokens"]] = "tokens"
    learning_rates: tuple[Annotated[float, Field(gt=0)], ...] = (1e-3, 3e-3)
    batch_size: Positive = 32
    """Contexts of a step; all there are, if there are fewer."""
    first_look: Positive = 10
    """The step of the first look at the validation contexts, and the least distance of two."""
    look_growth: Annotated[float, Field(ge=0)] = 0.2
    """The distance between two looks as a share of the steps so far."""
    patience: Positive = 3
    """Looks in a row that were no better, after which a learning rate is done with, …"""
    least_gain: Annotated[float, Field(ge=0)] = 0.005
    """… where better is by more than so many nats a token, in all since the last that was. With
    more contexts than a decoder can learn by heart its loss falls for ever, ever more slowly."""
    max_steps: Positive = 20_000
    """A cap that is meant not to be reached; ``chosen`` says where it was."""
    warmup_steps: Annotated[int, Field(ge=0)] = 10
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    clip_norm: Annotated[float, Field(gt=0)] | None = 1.0

    @model_validator(mode="after")
    def _has_a_rate(self) -> Self:
        if not self.learning_rates:
            raise ValueError("FineTuneDecoder.learning_rates is empty; name one")
        return self

    @property
    def name(self) -> str:
        return "fine-tune"

    def configurations(self) -> Sequence[FineTuneDecoder]:
        return [self.model_copy(update={"learning_rates": (r,)}) for r in self.learning_rates]

    def looks(self) -> Iterator[int]:
        """Steps, the last of which is ``max_steps``."""
        step = self.first_look
        while step < self.max_steps:
            yield step
            step += max(self.first_look, int(step * self.look_growth))
        yield self.max_steps

    def adapt(
        self,
        train: Examples,
        validation: Examples,
        encoder: Encoder,
        prompts: Sequence[Sequence[str]],
        seed: int,
    ) -> Adapted:
        """Raises ValueError for contexts that are not the decoder's, FloatingPointError if every
        learning rate diverges."""
        from raystudy.adapt.contexts import check, cost, predictor, tune

        beginning = encoder.module
        check(beginning, train, validation)
        tuned = tune(self, beginning, train, validation, seed)
        stopped = "at max_steps" if tuned.ran_out else "early"
        return Adapted(
            predictor(tuned.model),
            {**tuned.chosen, "stopped": stopped},
            num_tried=len(self.learning_rates),
            cost=cost(tuned, train.array.shape[1] - 1),
        )
