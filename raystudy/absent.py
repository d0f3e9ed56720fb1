"""Plans without data: what a study would cost is known before its data sets are.

A data set on disk has no identity before it is indexed. In a plan, and nowhere else, ``NotHere``
stands in for it: another class, which no stage can read and whose key is no result's key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raystudy.kinds import OnDisk, Source
from raystudy.spec import Grid, Study


class NotHere(Source):
    """A data set that is not on this machine, or that nobody has indexed yet."""

    of: str
    """Its class."""
    title: str
    place: str
    """Where it is expected: a folder or URL."""
    settings: Mapping[str, str] = {}

    @property
    def name(self) -> str:
        return self.title

    def check(self) -> None:
        """A plan takes it as it is; a run is never given one."""

    def known_size(self) -> int | None:
        return None

    def inputs(self) -> Sequence[Source]:
        return ()


def expected(study: Study) -> tuple[Study, list[NotHere]]:
    """``study`` with a stand-in for each data set without a manifest, and those stand-ins.

    The study itself comes back where all its data is indexed. What a stand-in takes part in counts
    as missing: whether a store has it cannot be known without the data.
    """
    absent: dict[str, NotHere] = {}
    grids = [_grid(grid, absent) for grid in study.grids]
    if not absent:
        return study, []
    return study.model_copy(update={"grids": grids}), list(absent.values())


def _grid(grid: Grid, absent: dict[str, NotHere]) -> Grid:
    if not grid.methods:  # it pre-trains nothing
        return grid
    return grid.model_copy(update={"sources": [_source(s, absent) for s in grid.sources]})


def _source(source: Source, absent: dict[str, NotHere]) -> Source:
    if isinstance(source, OnDisk):
        if source.known_size() is not None:
            return source
        there = _stand_in(source)
        return absent.setdefault(there.key, there)
    if not source.inputs():
        return source
    fields: dict[str, Any] = {}
    for name in type(source).model_fields:
        match getattr(source, name):
            case Source() as part:
                fields[name] = _source(part, absent)
            case (Source(), *_) as parts:
                fields[name] = [_source(part, absent) for part in parts]
    return source.model_copy(update=fields)


def _stand_in(source: OnDisk) -> NotHere:
    cls = type(source)
    settings = {
        name: repr(value)
        for name, field in cls.model_fields.items()
        if name != "path" and (value := getattr(source, name)) != field.get_default()
    }
    return NotHere(of=cls.__name__, title=source.name, place=source.path, settings=settings)
