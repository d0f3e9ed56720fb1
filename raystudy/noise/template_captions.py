"""Caption noise by boilerplate: true, and says no more than a label."""

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from pydantic import field_validator

from raystudy.kinds import Annotations, Noise
from raystudy.noise.draws import hits
from raystudy.spec import Rate

TEMPLATE = "a photo of a {}."
UNKNOWN = "thing"
"""Stands in where there is no label. Every class is a thing, so the sentence stays true, and tells
nothing apart."""


class TemplateCaptions(Noise):
    """A hit caption is replaced by ``template`` around the name of its class: the prompt of Radford
    et al. 2021 (CLIP, arXiv 2103.00020), as captions of labelled data sets are made in Fang et al.
    2022 (arXiv 2205.01397).

    Where the caption read so before, the realised rate falls short of ``rate``.
    """

    corrupts: ClassVar[Literal["label", "caption"]] = "caption"
    rate: Rate
    template: str = TEMPLATE
    """Holds ``{}`` once, where the name goes."""

    @property
    def name(self) -> str:
        wording = "" if self.template == TEMPLATE else f" '{self.template}'"
        return f"template-captions-{self.rate:g}{wording}"

    @property
    def nominal_rate(self) -> float:
        return self.rate

    def corrupt(self, clean: Annotations, seed: int) -> Annotations:
        # Filled by replacement, not by str.format, which would read braces as instructions.
        sentences = [self.template.replace("{}", name) for name in (*clean.class_names, UNKNOWN)]
        known = (clean.labels >= 0) & (clean.labels < len(clean.class_names))
        which = np.where(known, clean.labels, len(clean.class_names)).tolist()
        captions = list(clean.captions)
        for row in np.flatnonzero(hits(self, clean, self.rate, seed)).tolist():
            captions[row] = sentences[which[row]]
        return replace(clean, captions=captions)

    @field_validator("template")
    @classmethod
    def _has_one_place(cls, template: str) -> str:
        if template.count("{}") != 1:
            raise ValueError(f"'{template}' needs {{}} once, where the class name goes")
        return template
