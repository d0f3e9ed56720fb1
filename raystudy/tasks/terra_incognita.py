"""Animals before cameras at four places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from raystudy.kinds import TaskOfDomains
from raystudy.tasks import names
from raystudy.tasks.camera_traps import TEMPLATES
from raystudy.tasks.domains import Suite

Domain = Literal["location_100", "location_38", "location_43", "location_46"]
SIZES: Mapping[str, int] = {
    "location_100": 4_741,
    "location_38": 9_736,
    "location_43": 3_970,
    "location_46": 5_883,
}
"""In the order of their names, which is DomainBed's."""


class TerraIncognita(TaskOfDomains):
    """Terra Incognita: three places are learnt from, the fourth is for testing.

    Layout, as DomainBed's download makes it of Caltech Camera Traps: ten classes, ``empty`` among
    them, at four places (ids are paths below the folder)::

        location_100/bird/….jpg … location_38/, location_43/, location_46/

    An image of two kinds of animals lies in both folders, as in DomainBed.
    Splits: DomainBed's, bit for bit (``raystudy.tasks.domains``): of the places that are learnt
    from, 80 % train and 20 % validate; ``held_out`` is for testing, whole; ``in`` and ``out`` are
    its 80 % and 20 %. ``split_seed`` is DomainBed's ``trial_seed``. Images of one sequence may be
    on both sides, so that validation is nearer to training than it looks.
    Sizes: of the annotations of January 2021, 24,330 images; the paper of DomainBed had 24,788. Not
    checked against the data set.
    Place: LILA: Caltech Camera Traps, divided by DomainBed's download script.
    Paper: Beery et al., Recognition in Terra Incognita, ECCV 2018, arXiv 1807.04975.
    Terms: Community Data License Agreement, permissive variant.
    """

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = names.words("terraincognita")
    held_out: Domain
    split_seed: int = 0

    @property
    def name(self) -> str:
        return f"terraincognita-{self.held_out.replace('_', '-')}"

    def prompts(self) -> Sequence[Sequence[str]]:
        return names.prompts(self.class_names, TEMPLATES)

    @property
    def suite(self) -> Suite:
        return Suite("terraincognita", SIZES, self.held_out, self.split_seed)
