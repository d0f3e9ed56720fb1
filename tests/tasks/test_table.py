"""The table of the documentation is that of the code."""

from pathlib import Path

import pytest

from raystudy.kinds import Task, TaskOnDisk
from raystudy.tasks.table import every_task, markdown, of_docstring

DOCS = Path(__file__).parents[2] / "docs" / "tasks.md"


def rows() -> dict[str, list[str]]:
    lines = [line for line in DOCS.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row for row in cells[2:]}


def test_the_table_is_up_to_date() -> None:
    assert DOCS.read_text() == markdown(), "run: python -m raystudy.tasks.table > docs/tasks.md"


def test_each_task_has_a_row_with_a_source_and_a_paper() -> None:
    for name, task in every_task().items():
        row = rows()[name]
        assert len(row) == 8
        assert row[1] == f"{len(task.class_names):,}"
        if isinstance(task, TaskOnDisk):
            assert all(row[6:])
            assert row[6] != "comes with raystudy"
    assert len(rows()) == len(every_task())


def test_papers_1_and_2_have_all_their_tasks() -> None:
    first = {"cifar100", "dtd", "caltech101", "pets", "domainnet-real", "domainnet-clipart"}
    first |= {"camera-traps-cis", "cassava", "eurosat"}
    assert first <= set(rows())
    assert sum(name.startswith("vtab-") for name in rows()) == 19


@pytest.mark.parametrize("task", every_task().values(), ids=lambda task: task.name)
def test_names_are_parts_of_metric_keys(task: Task) -> None:
    assert task.name == task.name.lower()
    assert not set(task.name) & set("/ _|")


def test_fields_of_a_docstring() -> None:
    dtd = type(every_task()["dtd"])
    assert of_docstring(dtd, "Paper").endswith("CVPR 2014, arXiv 1311.3618")
    assert of_docstring(dtd, "Nothing") == ""
