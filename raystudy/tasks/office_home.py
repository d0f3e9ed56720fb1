"""Things of offices and homes: art, clip art, product pictures and photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from raystudy.kinds import TaskOfDomains
from raystudy.tasks import names
from raystudy.tasks.domains import Suite

Domain = Literal["Art", "Clipart", "Product", "Real World"]
SIZES: Mapping[str, int] = {
    "Art": 2_427,
    "Clipart": 4_365,
    "Product": 4_439,
    "Real World": 4_357,
}
TEMPLATES = (
    "a photo of a {}.",
    "a painting of a {}.",
    "a clipart of a {}.",
    "a product photo of a {}.",
)


class OfficeHome(TaskOfDomains):
    """Office-Home: three of its domains are learnt from, the fourth is for testing.

    Layout, of the unpacked archive (ids are paths below the folder)::

        Art/Alarm_Clock/00001.jpg … Clipart/, Product/, Real World/     65 classes in each

    Splits: DomainBed's, bit for bit (``raystudy.tasks.domains``): of the domains that are learnt
    from, 80 % train and 20 % validate; ``held_out`` is for testing, whole; ``in`` and ``out`` are
    its 80 % and 20 %. ``split_seed`` is DomainBed's ``trial_seed``.
    Place: the archive ``OfficeHomeDataset_10072016`` of the paper's project page, which DomainBed's
    download calls ``office_home``.
    Paper: Venkateswara et al., Deep Hashing Network for Unsupervised Domain Adaptation, CVPR 2017,
    arXiv 1706.07522.
    Terms: for research, not commercial; the images are their owners'.
    """

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = names.words("officehome")
    held_out: Domain
    split_seed: int = 0

    @property
    def name(self) -> str:
        return f"officehome-{self.held_out.lower().replace(' ', '-')}"

    def prompts(self) -> Sequence[Sequence[str]]:
        return names.prompts(self.class_names, TEMPLATES)

    @property
    def suite(self) -> Suite:
        return Suite("officehome", SIZES, self.held_out, self.split_seed)
