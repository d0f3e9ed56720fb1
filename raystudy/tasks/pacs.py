"""Pictures of seven things as photographs, paintings, cartoons and sketches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from raystudy.kinds import Examples, Integers, Size, TaskOnDisk
from raystudy.tasks import names
from raystudy.tasks.domains import SHIFTS, Suite, domain_of, held_out_size

Domain = Literal["art_painting", "cartoon", "photo", "sketch"]
SIZES: Mapping[str, int] = {
    "art_painting": 2_048,
    "cartoon": 2_344,
    "photo": 1_670,
    "sketch": 3_929,
}
TEMPLATES = ("a photo of a {}.", "a painting of a {}.", "a cartoon {}.", "a sketch of a {}.")


class PACS(TaskOnDisk):
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
    in_distribution: ClassVar[Literal["test", "validation"]] = "validation"
    held_out: Domain
    split_seed: int = 0

    @property
    def name(self) -> str:
        return f"pacs-{self.held_out.replace('_', '-')}"

    @property
    def size(self) -> Size:
        return held_out_size(SIZES, self.held_out)

    @property
    def shifts(self) -> tuple[str, ...]:
        return SHIFTS

    def missing(self, root: Path) -> Sequence[str]:
        return self._suite.missing(root)

    def files(self, root: Path) -> Sequence[str]:
        return self._suite.files(root)

    def num_train(self) -> Sequence[int]:
        return self._suite.num_train(self.path)

    def train(self) -> Examples:
        return self._suite.train(self.path)

    def validation(self) -> Examples:
        return self._suite.validation(self.path)

    def _test(self, shift: str | None) -> Examples:
        return self._suite.test(self.path, shift)

    def prompts(self) -> Sequence[Sequence[str]]:
        return names.prompts(self.class_names, TEMPLATES)

    def part(self, shift: str) -> Integers | None:
        return self._suite.part(self.path, shift) if shift in SHIFTS else None

    def domain_of(self, id: str) -> str:
        return domain_of(id)

    @property
    def _suite(self) -> Suite:
        return Suite("pacs", tuple(SIZES), self.held_out, self.split_seed)
