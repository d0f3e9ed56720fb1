"""Data sets of several domains: learnt from all but one, and divided as DomainBed divides them.

Gulrajani and Lopez-Paz, *In Search of Lost Domain Generalization*, ICLR 2021, arXiv 2007.01434.
Each domain is shuffled by a seed of its own and cut: a fifth is its ``out`` part, the rest its
``in`` part. Of the domains that are learnt from, ``in`` trains and ``out`` validates, so that
validation is of the distribution of training. The domain that is held out is the test split, whole;
its two parts are shifts of it, for DomainBed reports ``in`` alone, and Naganuma et al. (arXiv
2307.08187) the mean of both parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raystudy.kinds import Examples, Integers, Size
from raystudy.tasks import names
from raystudy.tasks.listing import Listing, Splits, class_folders, lacking, remembered

OUT_SHARE = 0.2
SHIFTS = ("in", "out")
"""Parts of the domain that is held out."""


def seed_hash(*arguments: object) -> int:
    """DomainBed's seed of the arguments: the MD5 of how Python prints their tuple, below 2³¹."""
    text = str(arguments).encode()
    return int(hashlib.md5(text, usedforsecurity=False).hexdigest(), 16) % 2**31


def divided(num_examples: int, split_seed: int, place: int) -> dict[str, Integers]:
    """``in`` and ``out`` rows of one domain, as DomainBed has them bit for bit: ``split_seed`` is
    its ``trial_seed``, ``place`` that of the domain among all of them in alphabetical order."""
    rows = list(range(num_examples))
    # numpy keeps what this generator draws as it is; raystudy.randomness could not repeat it.
    np.random.RandomState(seed_hash(split_seed, place)).shuffle(rows)
    shuffled, num_out = np.array(rows, np.int64), int(num_examples * OUT_SHARE)
    return {"in": shuffled[num_out:], "out": shuffled[:num_out]}


def held_out_size(sizes: Mapping[str, int], held_out: str) -> Size:
    """Of a data set with so many images in each domain."""
    learnt = [n for domain, n in sizes.items() if domain != held_out]
    out = sum(int(n * OUT_SHARE) for n in learnt)
    return Size(train=sum(learnt) - out, validation=out, test=sizes[held_out])


def domain_of(id: str) -> str:
    """Ids begin with it."""
    return id.partition("/")[0]


@dataclass(frozen=True)
class Suite:
    """A data set in a folder for each domain, with a folder for each class in it: what its task
    (``kinds.TaskOfDomains``) says of it."""

    stem: str
    """Of its classes (``raystudy.tasks.names``), whose official names are those of the folders."""
    sizes: Mapping[str, int]
    """Images of each domain, by the name of its folder, in alphabetical order."""
    held_out: str
    split_seed: int
    classes_everywhere: bool = True
    """Whether each domain is known to have images of every class."""

    @property
    def shifts(self) -> tuple[str, ...]:
        return SHIFTS

    @property
    def size(self) -> Size:
        return held_out_size(self.sizes, self.held_out)

    def missing(self, root: Path) -> Sequence[str]:
        lines = lacking(root, *self.sizes)
        if lines or not self.classes_everywhere:
            return lines
        classes = names.official(self.stem)
        return lacking(root, *(f"{d}/{c}" for d in self.sizes for c in classes))

    def files(self, root: Path) -> Sequence[str]:
        return _read(root, *self._settings)[0].paths

    def num_train(self, path: str) -> Sequence[int]:
        return self._read(path)[0].train.counts(len(names.official(self.stem)))

    def train(self, path: str) -> Examples:
        return self._read(path)[0].train.examples(path)

    def validation(self, path: str) -> Examples:
        return self._read(path)[0].validation.examples(path)

    def test(self, path: str, shift: str | None) -> Examples:
        """The domain that is held out, or its ``in`` or ``out`` part."""
        splits, rows = self._read(path)
        return (splits.test.take(rows[shift]) if shift else splits.test).examples(path)

    def part(self, path: str, shift: str) -> Integers | None:
        """Rows of the domain that is held out."""
        return self._read(path)[1].get(shift)

    def domain_of(self, id: str) -> str:
        return domain_of(id)

    def _read(self, path: str) -> tuple[Splits, dict[str, Integers]]:
        return remembered(_read, path, *self._settings)

    @property
    def _settings(self) -> tuple[str, tuple[str, ...], str, int]:
        return self.stem, tuple(self.sizes), self.held_out, self.split_seed


def _read(
    root: Path, stem: str, domains: Sequence[str], held_out: str, split_seed: int
) -> tuple[Splits, dict[str, Integers]]:
    """The splits, and the rows of test that are each of its parts."""
    parts: dict[str, list[Listing]] = {"in": [], "out": []}
    test, rows = Listing.of([]), divided(0, 0, 0)
    for place, domain in enumerate(domains):
        listing = _domain(root, domain, stem)
        part = divided(len(listing), split_seed, place)
        if domain == held_out:
            test, rows = listing, part
            continue
        for name, of_domain in part.items():
            parts[name].append(listing.take(of_domain))
    return Splits(_joined(parts["in"]), _joined(parts["out"]), test), rows


def _domain(root: Path, domain: str, stem: str) -> Listing:
    """In the order of torchvision's ``ImageFolder``, which DomainBed shuffles; ids are paths below
    ``root``, and so begin with the domain."""
    found = class_folders(root, domain, names.labels(stem))
    return Listing(found.paths, found.paths, found.labels)


def _joined(listings: Sequence[Listing]) -> Listing:
    return Listing(
        tuple(id for part in listings for id in part.ids),
        tuple(path for part in listings for path in part.paths),
        np.concatenate([part.labels for part in listings]),
    )
