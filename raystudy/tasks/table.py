"""Every task there is, and the table of the documentation: ``python -m raystudy.tasks.table``."""

from __future__ import annotations

import inspect
import pkgutil
import re
import sys
from functools import cache
from importlib import import_module
from itertools import product
from typing import Literal, get_args, get_origin

from raystudy import tasks
from raystudy.kinds import Task, TaskOnDisk

TITLE = """# Tasks

Downstream data sets that raystudy knows. Written by
`python -m raystudy.tasks.table > docs/tasks.md`; `raystudy data check TASK PATH` says whether a
folder holds one, and what is missing. Layouts, splits and terms are in the docstring of each class.
Sizes are those of the whole data set as published; where a publication gives no validation split,
one is cut from the training images.
"""
HEAD = ("task", "classes", "train", "validation", "test", "metric", "source", "paper")
ELSEWHERE = "…"
"""Where the data set lies, in tasks that are only talked about."""


@cache
def every_task() -> dict[str, Task]:
    """Name → the task, its data set nowhere; one for each choice that must be made of a class."""
    found = {}
    for info in pkgutil.iter_modules(tasks.__path__):
        if info.name == __name__.rpartition(".")[2]:
            continue
        module = import_module(f"raystudy.tasks.{info.name}")
        for cls in vars(module).values():
            if inspect.isclass(cls) and issubclass(cls, Task) and cls.__module__ == module.__name__:
                found |= {task.name: task for task in _choices(cls)}
    return found


def markdown() -> str:
    lines = [TITLE, _row(HEAD), _row(["---", *["---:"] * 4, "---", "---", "---"])]
    for name, task in sorted(every_task().items()):
        size = task.size
        numbers = [
            f"{n:,}" for n in (len(task.class_names), size.train, size.validation, size.test)
        ]
        if task.modality == "tokens":
            numbers[1] = "…"  # as many as this Python's library has
        place = of_docstring(type(task), "Place")
        told = (place or "comes with raystudy", of_docstring(type(task), "Paper"))
        lines.append(_row([name, *numbers, task.metric, *told]))
    return "\n".join(lines) + "\n"


def of_docstring(cls: type[Task], field: str) -> str:
    """What its docstring says after "Place:" and the like; empty if nothing."""
    found = re.search(rf"^{field}: (.*?)(?=^\w+: |\Z)", inspect.getdoc(cls) or "", re.M | re.S)
    return " ".join(found[1].split()).rstrip(".").replace("``", "`") if found else ""


def _choices(cls: type[Task]) -> list[Task]:
    """One for each combination of values of the fields that have no default."""
    required = {n: f.annotation for n, f in cls.model_fields.items() if f.is_required()}
    given = {"path": [ELSEWHERE]} if issubclass(cls, TaskOnDisk) else {}
    open_ = {n: get_args(a) for n, a in required.items() if get_origin(a) is Literal}
    if required.keys() - given.keys() - open_.keys():
        return []  # there are as many as one likes
    options = {**given, **open_}
    return [cls(**dict(zip(options, values, strict=True))) for values in product(*options.values())]


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write(markdown())
