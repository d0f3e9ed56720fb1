"""DomainNet, learnt from five of its domains and tested on the sixth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from raystudy.kinds import TaskOfDomains
from raystudy.tasks import domain_net, names
from raystudy.tasks.domains import Suite

SIZES: Mapping[str, int] = {
    domain: sum(domain_net.SIZES[domain]) for domain in sorted(domain_net.SIZES)
}
"""In alphabetical order, which is DomainBed's; DomainBed divides all images of a domain."""
TEMPLATES = tuple(templates[0] for templates in domain_net.TEMPLATES.values())


class DomainNetHeldOut(TaskOfDomains):
    """DomainNet as DomainBed has it: five domains are learnt from, the sixth is for testing.

    Layout, of the unpacked archives of the cleaned version (ids are paths below the folder)::

        clipart/aircraft_carrier/clipart_001_000001.jpg … infograph/, painting/, quickdraw/, real/,
            sketch/

    The official lists of training and test images are not read.
    Splits: DomainBed's, bit for bit (``raystudy.tasks.domains``): of the domains that are learnt
    from, 80 % train and 20 % validate; ``held_out`` is for testing, whole; ``in`` and ``out`` are
    its 80 % and 20 %. ``split_seed`` is DomainBed's ``trial_seed``.
    Sizes: those of the official lists, 586,575 in all, as in DomainBed.
    Place: Boston University: DomainNet, Moment Matching for Multi-Source Domain Adaptation, without
    the duplicates that DomainBed's download deletes.
    Paper: Peng et al., Moment Matching for Multi-Source Domain Adaptation, ICCV 2019, arXiv
    1812.01754.
    Terms: fair use, for research; the images are their owners'.
    """

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = names.words("domainnet")
    held_out: domain_net.Domain
    split_seed: int = 0

    @property
    def name(self) -> str:
        return f"domainnet-held-out-{self.held_out}"

    def prompts(self) -> Sequence[Sequence[str]]:
        return names.prompts(self.class_names, TEMPLATES)

    @property
    def suite(self) -> Suite:
        return Suite("domainnet", SIZES, self.held_out, self.split_seed, classes_everywhere=False)
