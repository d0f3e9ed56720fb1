"""Several sources in fixed proportions: at every size, each has its share to within one example."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from fractions import Fraction
from itertools import cycle, islice
from math import gcd, lcm
from typing import Annotated, ClassVar, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, SerializeAsAny, model_validator

from raystudy.kinds import Derived, Integers, Source, Stream
from raystudy.shards.table import SCHEMA

BLOCK = 1 << 14
"""Rows of a table at most."""
MAX_PERIOD = 1 << 20
"""Turns that are worked out once and repeated, where proportions are round enough for it."""


class Mixture(Derived):
    """Examples of all ``sources`` by turns, in proportion to ``weights``, equal by default.

    Of the first n examples each part holds n times its share, within one; so all subsets have the
    same proportions, and they nest. When a part has no more, so has the mixture: proportions are
    never changed to go on. Ids get the number of their part before them ("0:000012"), so that they
    stay unique. The classes are those of all parts, matched by name, in the order of the parts.
    """

    VERSION: ClassVar[int] = 1
    sources: Annotated[tuple[SerializeAsAny[Source], ...], Field(min_length=1)]
    weights: tuple[Annotated[float, Field(gt=0)], ...] | None = None
    """Relative: (1, 3) is a quarter and three."""
    label: str | None = None
    """How tables call it; "25% a + 75% b" if not given."""

    @model_validator(mode="after")
    def _parts_are_distinct(self) -> Self:
        if self.weights and len(self.weights) != len(self.sources):
            raise ValueError(
                f"Mixture.weights has {len(self.weights)} numbers for {len(self.sources)} sources; "
                "give one for each, or none for equal shares"
            )
        for i, source in enumerate(self.sources):
            if source in self.sources[:i]:
                raise ValueError(
                    f"Mixture.sources has '{source.name}' twice; give it once, with more weight"
                )
        return self

    @property
    def name(self) -> str:
        names = [source.name for source in self.sources]
        if self.weights:
            percent = [100 * weight / sum(self.weights) for weight in self.weights]
            names = [f"{p:.3g}% {name}" for p, name in zip(percent, names, strict=True)]
        return self.label or " + ".join(names)

    def inputs(self) -> Sequence[Source]:
        return self.sources

    def known_size(self) -> int | None:
        shares = self._shares
        sizes = [size for s in self.sources if (size := s.known_size()) is not None]
        if len(sizes) < len(shares) or sum(shares) > MAX_PERIOD:
            return None
        rounds = min(size // share for size, share in zip(sizes, shares, strict=True))
        left = [size - rounds * share for size, share in zip(sizes, shares, strict=True)]
        total = rounds * sum(shares)
        for part in _turns(shares):
            if not left[part]:
                break
            left[part] -= 1
            total += 1
        return total

    def arrange(self, streams: Sequence[Stream], seed: int) -> Stream:
        class_names, places = _union([stream.class_names for stream in streams])
        parts = [
            _Part(i, source.name, stream.tables, place)
            for i, (source, stream, place) in enumerate(
                zip(self.sources, streams, places, strict=True)
            )
        ]
        return Stream(_merged(parts, turns(self._shares)), class_names)

    @property
    def _shares(self) -> list[int]:
        """The weights as the smallest whole numbers of the same proportions."""
        # A weight means the decimal number that was written: 0.1 is a tenth.
        weights = [Fraction(repr(w)) for w in self.weights or [1.0] * len(self.sources)]
        whole = [int(w * lcm(*(w.denominator for w in weights))) for w in weights]
        return [w // gcd(*whole) for w in whole]


def turns(shares: Sequence[int]) -> Iterator[int]:
    """Whose turn it is, for ever: of the first n turns, part i has more than n·wᵢ − 1 and fewer
    than n·wᵢ + 1, where wᵢ is its share of all.

    Turn j of part i must not come before n·wᵢ > j and not after n·wᵢ ≥ j + 1; of the parts whose
    turn may come, the one that must come first has it, then the one of lower number. That this
    always succeeds is the theorem of Baruah, Cohen, Plaxton and Varvel, "Proportionate progress",
    Algorithmica 15 (1996). Webster's rule (Sainte-Laguë), which takes the smallest (j + ½)/wᵢ,
    does not: beside many small parts a large one comes several examples early.
    """
    # After as many turns as the shares add up to, each part has exactly its share.
    period = sum(shares)
    return cycle(islice(_turns(shares), period)) if period <= MAX_PERIOD else _turns(shares)


def _turns(shares: Sequence[int]) -> Iterator[int]:
    total = sum(shares)
    count = [0] * len(shares)
    waiting = [(0, part) for part in range(len(shares))]
    """(the turn from which it may come, part)"""
    ready: list[tuple[int, int]] = []
    """(the turn before which it must come, part)"""
    now = 0
    while True:
        while waiting and waiting[0][0] <= now:
            _, part = heapq.heappop(waiting)
            heapq.heappush(ready, (-(-(count[part] + 1) * total // shares[part]), part))
        _, part = heapq.heappop(ready)
        yield part
        count[part] += 1
        heapq.heappush(waiting, (count[part] * total // shares[part], part))
        now += 1


class _Part:
    """One source within a mixture: what was read of it and not yet given."""

    def __init__(
        self, number: int, name: str, tables: Iterator[pa.Table], places: Integers
    ) -> None:
        self._number, self._name, self._tables = number, name, tables
        self._places = np.append(places, -1)  # so that no label (−1) stays none
        self._num_read = 0
        self.rows = SCHEMA.empty_table()

    def read(self) -> str | None:
        """Add a table to ``rows``; if there is no more, say so."""
        try:
            rows = next(self._tables)
        except StopIteration as end:
            inner = f" ({end.value})" if end.value else ""
            return f"the mixture needs more of '{self._name}', which has {self._num_read:,}{inner}"
        self._num_read += rows.num_rows
        self.rows = pa.concat_tables([self.rows, self._renamed(rows)])
        return None

    def give(self, count: int) -> pa.Table:
        given, self.rows = self.rows.slice(0, count), self.rows.slice(count)
        return given

    def _renamed(self, rows: pa.Table) -> pa.Table:
        labels = rows["label"].to_numpy().clip(min=-1)
        num_classes = len(self._places) - 1
        if labels.max(initial=-1) >= num_classes:
            raise ValueError(
                f"source '{self._name}' has label {labels.max()} but {num_classes} class names; a "
                "mixture matches classes by name: complete the class names of the source"
            )
        ids = [f"{self._number}:{id}" for id in rows["id"].to_pylist()]
        columns = {"id": pa.array(ids, pa.string()), "label": pa.array(self._places[labels])}
        for name, column in columns.items():
            rows = rows.set_column(SCHEMA.get_field_index(name), SCHEMA.field(name), column)
        return rows


def _merged(parts: Sequence[_Part], whose: Iterator[int]) -> Generator[pa.Table, None, str]:
    while True:
        ahead = np.fromiter(islice(whose, BLOCK), dtype=np.int64)
        while len(ahead):
            of_part = [np.flatnonzero(ahead == i) for i in range(len(parts))]
            # As far as the rows at hand go: nothing is read that the next row does not ask for.
            missing = [
                of[part.rows.num_rows]
                for of, part in zip(of_part, parts, strict=True)
                if len(of) > part.rows.num_rows
            ]
            cut = min(missing, default=len(ahead))
            if cut:
                of_part = [of[of < cut] for of in of_part]
                given = [part.give(len(of)) for of, part in zip(of_part, parts, strict=True)]
                place = np.concatenate(of_part)
                yield pa.concat_tables(given).take(pa.array(np.argsort(place)))
                ahead = ahead[cut:]
            elif why := parts[ahead[0]].read():
                return why


def _union(names: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], list[Integers]]:
    """All class names in the order of first appearance, and where those of each source went."""
    union: dict[tuple[str, int], int] = {}
    places = []
    for of_source in names:
        # Two classes of one source may share a name ("crane"); they stay two.
        counts: Counter[str] = Counter()
        place = []
        for name in of_source:
            place.append(union.setdefault((name, counts[name]), len(union)))
            counts[name] += 1
        places.append(np.array(place, dtype=np.int64))
    return tuple(name for name, _ in union), places
