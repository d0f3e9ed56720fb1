"""Zero-shot: the backbone's own head, read by class name."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from raystudy.kinds import Adaptation, Adapted, Encoder, Examples


class ZeroShot(Adaptation):
    """No labelled example is used. Classes are matched by *name*, never by position: a caption
    model reads the prompts, a classifier needs every class among those it was trained on."""

    inputs: ClassVar[Literal["features", "images"]] = "features"
    uses_shots: ClassVar[bool] = False

    @property
    def name(self) -> str:
        return "zero-shot"

    def adapt(
        self,
        train: Examples,
        validation: Examples,
        encoder: Encoder,
        prompts: Sequence[Sequence[str]],
        seed: int,
    ) -> Adapted | None:
        classify = encoder.zero_shot(prompts)
        return Adapted(classify, {}) if classify else None
