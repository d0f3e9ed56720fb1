"""Pictures of seven things as photographs, paintings, cartoons and sketches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from raystudy.kinds import TaskOfDomains
from raystudy.tasks import names
from raystudy.tasks.domains import Suite

Domain = Literal["art_painting", "cartoon", "photo", "sketch"]
SIZES: Mapping[str, int] = {
    "art_painting": 2_048,
    "cartoon": 2_344,
    "photo": 1_670,
    "sketch": 3_929,
}
TEMPLATES = ("a photo of a {}.", "a painting of a {}.", "a cartoon {}.", "a sketch of a {}.")


class PACS(TaskOfDomains):
    """PACS: three of its domains are learnt from, the fourth is for testing.

    Layout, as DomainBed's download makes it (ids are paths below the folder)::

        art_painting/dog/pic_001.jpg … cartoon/, photo/, sketch/     seven classes in each

    Splits: DomainBed's, bit for bit (``raystudy.tasks.domains``): of the domains that are learnt
    from, 80 % train and 20 % validate; ``held_out`` is for testing, whole; ``in`` and ``out`` are
    its 80 % and 20 %. ``split_seed`` is DomainBed's ``trial_seed``. The split files that came with
    the data set are not read.
    Place: the archive ``PACS`` of DomainBed's download, or the paper's project page.
    Paper: Li et al., Deeper, Broader and Artier Domain Generalization, ICCV 2017, arXiv 1710.03077.
    Terms: none stated; the images are their owners'.
    """

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = names.words("pacs")
    held_out: Domain
    split_seed: int = 0

    @property
    def name(self) -> str:
        return f"pacs-{self.held_out.replace('_', '-')}"

    def prompts(self) -> Sequence[Sequence[str]]:
        return names.prompts(self.class_names, TEMPLATES)

    @property
    def suite(self) -> Suite:
        return Suite("pacs", SIZES, self.held_out, self.split_seed)
