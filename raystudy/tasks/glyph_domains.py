"""Letters and digits in four domains, learnt from three of them and tested on the fourth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from raystudy.kinds import Examples, Group, Integers, Size, Task
from raystudy.randomness import generator
from raystudy.tasks.domains import SHIFTS, divided, domain_of, held_out_size
from raystudy.tasks.glyph_renderings import FILES, RENDERINGS, Domain
from raystudy.tasks.glyph_scenes import font_path

KNOWN, UNKNOWN = "ABEGKMRS47", "CDHLNPTVXZ2569"
"""Characters that are classes, and others that are none."""
NAMES = {"4": "digit four", "7": "digit seven"}
DOMAINS: tuple[Domain, ...] = tuple(RENDERINGS)


class GlyphDomains(Task):
    """Ten characters as they are printed, written by hand, outlined and photographed, in typefaces
    that no two domains share: three domains are learnt from, the fourth is for testing.

    Splits: those of DomainBed, as of ``PACS`` (``raystudy.tasks.domains``): of the domains that are
    learnt from, 80 % train and 20 % validate; ``held_out`` is for testing, whole; ``in`` and
    ``out`` are its 80 % and 20 %. The shift ``unknown`` holds, of the domains that are learnt from,
    as many pictures as validation, of characters that are no class: their labels are −1.
    """

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = tuple(
        NAMES.get(c, f"latin capital letter {c.lower()}") for c in KNOWN
    )
    in_distribution: ClassVar[Literal["test", "validation"]] = "validation"
    held_out: Domain
    images_per_domain: Annotated[int, Field(ge=10 * len(KNOWN))] = 1_500
    split_seed: int = 0
    seed: int = 0
    """Of what is drawn."""

    @property
    def name(self) -> str:
        return f"glyph-domains-{self.held_out}"

    @property
    def group(self) -> Group:
        return "natural"

    @property
    def shifts(self) -> tuple[str, ...]:
        return (*SHIFTS, "unknown")

    @property
    def size(self) -> Size:
        return held_out_size(dict.fromkeys(DOMAINS, self.images_per_domain), self.held_out)

    def check(self) -> None:
        for files in FILES.values():
            for file in files:
                font_path(file)

    def num_train(self) -> Sequence[int]:
        rows = np.concatenate([self._rows(domain, "in") for domain in self._learnt])
        return np.bincount(rows % len(KNOWN), minlength=len(KNOWN)).tolist()

    def train(self) -> Examples:
        return self._parts("in")

    def validation(self) -> Examples:
        return self._parts("out")

    def _test(self, shift: str | None) -> Examples:
        if shift == "unknown":
            num = self.size.validation // len(self._learnt)
            return _joined([drawn(d, UNKNOWN, num, self.seed) for d in self._learnt])
        whole = drawn(self.held_out, KNOWN, self.images_per_domain, self.seed)
        every = np.arange(len(whole))
        return whole.take(self._rows(self.held_out, shift) if shift else every)

    def prompts(self) -> Sequence[Sequence[str]]:
        return [
            (name, *(f"{how} {name}" for how in ("sans", "serif", "slanted serif")))
            for name in self.class_names
        ]

    def part(self, shift: str) -> Integers | None:
        return self._rows(self.held_out, shift) if shift in SHIFTS else None

    def domain_of(self, id: str) -> str:
        return domain_of(id)

    @property
    def _learnt(self) -> list[Domain]:
        return [domain for domain in DOMAINS if domain != self.held_out]

    def _rows(self, domain: Domain, part: str) -> np.ndarray:
        return divided(self.images_per_domain, self.split_seed, DOMAINS.index(domain))[part]

    def _parts(self, part: str) -> Examples:
        num = self.images_per_domain
        return _joined(
            [drawn(d, KNOWN, num, self.seed).take(self._rows(d, part)) for d in self._learnt]
        )


@lru_cache(maxsize=8)
def drawn(domain: Domain, characters: str, num: int, seed: int) -> Examples:
    """Pictures of one domain, character after character in turn. Each is a function of (domain,
    character, number, seed)."""
    known = characters == KNOWN
    images = [
        RENDERINGS[domain](generator(seed, f"glyph-domains/{domain}/{c}", i), c)
        for i, c in zip(range(num), characters * num, strict=False)
    ]
    stacked = np.stack(images)
    stacked.flags.writeable = False  # shared by all who ask
    kind = "" if known else "unknown-"
    ids = [f"{domain}/{seed}-{kind}{i:05d}" for i in range(num)]
    labels = np.arange(num) % len(KNOWN) if known else np.full(num, -1)
    return Examples(ids, stacked, labels)


def _joined(parts: Sequence[Examples]) -> Examples:
    return Examples(
        [id for part in parts for id in part.ids],
        np.concatenate([part.array for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )
