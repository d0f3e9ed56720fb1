"""Photographs of five things as four data sets show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from raystudy.kinds import Examples, Integers, Size, TaskOnDisk
from raystudy.tasks import names
from raystudy.tasks.domains import SHIFTS, Suite, domain_of, held_out_size

Domain = Literal["Caltech101", "LabelMe", "SUN09", "VOC2007"]
SIZES: Mapping[str, int] = {
    "Caltech101": 1_415,
    "LabelMe": 2_656,
    "SUN09": 3_282,
    "VOC2007": 3_376,
}
TEMPLATES = ("a photo of a {}.", "a photo of the {}.")


class VLCS(TaskOnDisk):
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
    in_distribution: ClassVar[Literal["test", "validation"]] = "validation"
    held_out: Domain
    split_seed: int = 0

    @property
    def name(self) -> str:
        return f"vlcs-{self.held_out.lower()}"

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
        return Suite("vlcs", tuple(SIZES), self.held_out, self.split_seed)
