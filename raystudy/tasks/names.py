"""The official names of classes and the words for them, and the sentences that hold them.

``classes/*.txt`` holds a class a line, in label order: its official name, then the words for it
where they are not that name with spaces for underscores. Words and most sentences are those with
which CLIP was evaluated (Radford et al. 2021, arXiv 2103.00020).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files


@cache
def official(stem: str) -> tuple[str, ...]:
    """As the data set's own files write them, in label order."""
    return tuple(line.partition("\t")[0] for line in _lines(stem))


@cache
def words(stem: str) -> tuple[str, ...]:
    """For people and text towers, in label order."""
    parts = (line.partition("\t") for line in _lines(stem))
    return tuple(said or name.replace("_", " ") for name, _, said in parts)


def labels(stem: str) -> dict[str, int]:
    """Official name → label."""
    return {name: label for label, name in enumerate(official(stem))}


def prompts(names: Sequence[str], templates: Sequence[str]) -> list[tuple[str, ...]]:
    """For each class its name, then each template with it in place of ``{}``."""
    return [(name, *(t.replace("{}", name) for t in templates)) for name in names]


@cache
def _lines(stem: str) -> tuple[str, ...]:
    text = files("raystudy.tasks").joinpath("classes", f"{stem}.txt").read_text("utf-8")
    return tuple(text.splitlines())
