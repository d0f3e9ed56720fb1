"""Contexts of a task of text, split by document: one class, of which shots are learnt from."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import ClassVar, Literal, Protocol

import numpy as np

from raystudy.kinds import Examples, Size, Tokeniser
from raystudy.randomness import uniform
from raystudy.text.documents import Document, Split, of_split
from raystudy.text.packing import Contexts, contexts


class OfText(Protocol):
    """What has documents to be packed. ``num_validation`` and ``num_test`` contexts at most are
    drawn from all documents of those splits."""

    class_names: ClassVar[tuple[str, ...]]

    @property
    def name(self) -> str: ...
    @property
    def tokeniser(self) -> Tokeniser: ...
    @property
    def context(self) -> int: ...
    @property
    def num_validation(self) -> int: ...
    @property
    def num_test(self) -> int: ...
    def documents(self) -> Iterable[Document]:
        """Of every split, in an order that does not change."""
        ...


def size(task: OfText) -> Size:
    return Size(len(packed(task, "train")), *(len(drawn(task, s)) for s in ("validation", "test")))


def every(task: OfText, split: Split) -> Examples:
    """All contexts of a split, as views of what is in memory once."""
    (name,), inputs = task.class_names, packed(task, split)
    ids = [f"{name}-{split}-{i:07d}" for i in range(len(inputs))]
    return Examples(ids, inputs, np.zeros(len(inputs), np.int64))


def drawn(task: OfText, split: Literal["validation", "test"]) -> Examples:
    found = every(task, split)
    most = task.num_test if split == "test" else task.num_validation
    order = np.argsort(uniform(0, f"{task.name}/{split}", found.ids), kind="stable")
    return found.take(np.sort(order[:most]))


def packed(task: OfText, split: Split) -> Contexts:
    """(N, T + 1), two bytes a token; shared by all equal tasks of this process."""
    return _packed(task, split)  # pyright: ignore[reportArgumentType]


@lru_cache(maxsize=8)
def _packed(task: OfText, split: Split) -> Contexts:
    found = contexts(of_split(task.documents(), split), task.tokeniser, task.context)
    found.flags.writeable = False
    return found
