"""Plans without data: what a study would cost is known before its data sets are.

A data set on disk has no identity before it is indexed, a task on disk or a published backbone none
before its files are there; so it is with text in files. In a plan, and nowhere else, ``NotHere``,
``TaskNotHere``, ``PublishedNotHere`` and those of text stand in for them: other classes, which no
stage can read and whose keys are no result's key.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from raystudy.key import digest
from raystudy.kinds import (
    Examples,
    Judged,
    Modality,
    OnDisk,
    Size,
    Source,
    Task,
    TaskOnDisk,
    Unit,
)
from raystudy.sources.text_files import TextFiles
from raystudy.spec import Grid, Published, Study
from raystudy.tasks.text_in_files import TextInFiles


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


class TextNotHere(NotHere):
    """Text that is not on this machine."""

    context: int

    @property
    def unit(self) -> Unit:
        return "tokens", self.context


class TaskNotHere(Task):
    """A task whose data set is not on this machine."""

    of: str
    """Its class."""
    title: str
    place: str
    """Where it is expected: a folder."""
    published: tuple[int, int, int]
    """Training, validation and test examples of the whole."""
    settings: Mapping[str, str] = {}

    @property
    def name(self) -> str:
        return self.title

    @property
    def size(self) -> Size:
        return Size(*self.published)

    def check(self) -> None:
        """A plan takes it as it is; a run is never given one."""

    def num_train(self) -> Sequence[int]:
        """As if of one class: how many each has, and so which shots it allows, is not known."""
        return (self.published[0],)

    def train(self) -> Examples:
        raise self._unread()

    def validation(self) -> Examples:
        raise self._unread()

    def _test(self, shift: str | None) -> Examples:
        raise self._unread()

    def _unread(self) -> FileNotFoundError:
        return FileNotFoundError(f"{self.of}.path={self.place}: {self.title} is not there")


class TaskOfTextNotHere(TaskNotHere):
    """A task of text that is not on this machine."""

    metric: ClassVar[Judged] = "token-loss"
    modality: ClassVar[Modality] = "tokens"
    context: int

    @property
    def unit(self) -> Unit:
        return "tokens", self.context

    def num_train(self) -> Sequence[int]:
        """Nobody knows before the text is read."""
        return (sys.maxsize,)


class PublishedNotHere(Published):
    """A published backbone whose weights, or whose description, are not on this machine."""

    @cached_property
    def content(self) -> str:
        return digest(["not here", self.model])

    @property
    def name(self) -> str:
        return self.model

    @property
    def of(self) -> str:
        return Published.__name__

    @property
    def place(self) -> str:
        return self.weights or "the cache of its hub, or a file given as Published.weights"


Absent = NotHere | TaskNotHere | PublishedNotHere


def expected(study: Study) -> tuple[Study, list[Absent]]:
    """``study`` with a stand-in for each data set without a manifest, each task without data and
    each backbone without weights, and those stand-ins.

    The study itself comes back where all its data is there. What a stand-in takes part in counts
    as missing: whether a store has it cannot be known without the data.
    """
    absent: dict[str, Absent] = {}
    grids = [_grid(grid, absent) for grid in study.grids]
    if not absent:
        return study, []
    return study.model_copy(update={"grids": grids}), list(absent.values())


def _grid(grid: Grid, absent: dict[str, Absent]) -> Grid:
    found: dict[str, Any] = {"tasks": [_task(task, absent) for task in grid.tasks]}
    found["published"] = [_published(backbone, absent) for backbone in grid.published]
    if grid.methods:  # otherwise it pre-trains nothing
        found["sources"] = [_source(source, absent) for source in grid.sources]
    return grid.model_copy(update=found)


def _task(task: Task, absent: dict[str, Absent]) -> Task:
    if not isinstance(task, TaskOnDisk):
        fields = {name: getattr(task, name) for name in type(task).model_fields}
        parts = {n: _task(part, absent) for n, part in fields.items() if isinstance(part, Task)}
        return task.model_copy(update=parts) if parts else task
    if not task.missing(Path(task.path)):
        return task
    said = _said(task)
    if isinstance(task, TextInFiles):
        most = (0, task.num_validation, task.num_test)
        there = TaskOfTextNotHere(**said, published=most, context=task.context)
    else:
        size = task.size
        there = TaskNotHere(**said, published=(size.train, size.validation, size.test))
    absent.setdefault(there.key, there)
    return there


def _published(backbone: Published, absent: dict[str, Absent]) -> Published:
    if backbone.sha256 or backbone.is_here():  # a plan downloads nothing
        return backbone
    fields = {name: getattr(backbone, name) for name in Published.model_fields}
    there = PublishedNotHere(**fields)
    absent.setdefault(there.key, there)
    return there


def _source(source: Source, absent: dict[str, Absent]) -> Source:
    if isinstance(source, OnDisk):
        if source.known_size() is not None:
            return source
        there = NotHere(**_said(source))
        absent.setdefault(there.key, there)
        return there
    if isinstance(source, TextFiles) and not source.files:
        there = TextNotHere(**_said(source), context=source.context)
        absent.setdefault(there.key, there)
        return there
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


def _said(spec: OnDisk | TaskOnDisk | TextFiles) -> dict[str, Any]:
    """What every stand-in tells of what it stands for."""
    return {
        "of": type(spec).__name__,
        "title": spec.name,
        "place": spec.path,
        "settings": _settings(spec),
    }


def _settings(spec: OnDisk | TaskOnDisk | TextFiles) -> dict[str, str]:
    """The fields that make it another than its default, but for where it lies."""
    return {
        name: repr(value)
        for name, field in type(spec).model_fields.items()
        if name != "path" and (value := getattr(spec, name)) != field.get_default()
    }
