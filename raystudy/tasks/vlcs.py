"""Photographs of five things as four data sets show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from raystudy.kinds import TaskOfDomains
from raystudy.tasks import names
from raystudy.tasks.domains import Suite

Domain = Literal["Caltech101", "LabelMe", "SUN09", "VOC2007"]
SIZES: Mapping[str, int] = {
    "Caltech101": 1_415,
    "LabelMe": 2_656,
    "SUN09": 3_282,
    "VOC2007": 3_376,
}
TEMPLATES = ("a photo of a {}.", "a photo of the {}.")


class VLCS(TaskOfDomains):
    """VLCS: three data sets are learnt from, the fourth is for testing.

    Layout, as DomainBed's download makes it (ids are paths below the folder)::

        Caltech101/bird/….jpg … LabelMe/, SUN09/, VOC2007/     five classes in each

    Splits: DomainBed's, bit for bit (``raystudy.tasks.domains``): of the domains that are learnt
    from, 80 % train and 20 % validate; ``held_out`` is for testing, whole; ``in`` and ``out`` are
    its 80 % and 20 %. ``split_seed`` is DomainBed's ``trial_seed``.
    Place: the archive ``VLCS`` of DomainBed's download.
    Paper: Fang et al., Unbiased Metric Learning, ICCV 2013.
    Terms: those of the four data sets; the images are their owners'.
    """

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = names.words("vlcs")
    held_out: Domain
    split_seed: int = 0

    @property
    def name(self) -> str:
        return f"vlcs-{self.held_out.lower()}"

    def prompts(self) -> Sequence[Sequence[str]]:
        return names.prompts(self.class_names, TEMPLATES)

    @property
    def suite(self) -> Suite:
        return Suite("vlcs", SIZES, self.held_out, self.split_seed)
