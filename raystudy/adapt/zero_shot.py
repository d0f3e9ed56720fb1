"""Zero-shot: the backbone's own head, read by class name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from raystudy.kinds import Adaptation, Adapted, Encoder, Examples, Floats

if TYPE_CHECKING:
    from torch import nn


class ZeroShot(Adaptation):
    """No labelled example is used. Classes are matched by *name*, never by position: a caption
    model reads the prompts, a classifier needs every class among those it was trained on.

    What it costs is not known here: the head is the backbone's.
    """

    inputs: ClassVar[Literal["features", "images", "tokens"]] = "features"
    uses_shots: ClassVar[bool] = False
    prompts: Literal["all", "name"] = "all"
    """What a caption model is shown for each class: the class's name and the task's sentences about
    it, averaged (Radford et al. 2021, arXiv 2103.00020, §3.1.4), or its name alone."""

    @property
    def name(self) -> str:
        return "zero-shot" if self.prompts == "all" else "zero-shot-by-name"

    def adapt(
        self,
        train: Examples,
        validation: Examples,
        encoder: Encoder,
        prompts: Sequence[Sequence[str]],
        seed: int,
    ) -> Adapted | None:
        shown = prompts if self.prompts == "all" else [(name,) for name, *_ in prompts]
        classifier = encoder.zero_shot(shown)
        return None if classifier is None else Adapted(partial(_logits, classifier), {})


def _logits(classifier: nn.Module, features: Floats) -> Floats:
    import torch

    with torch.inference_mode():
        return classifier(torch.from_numpy(np.array(features))).numpy()
