"""The test split is opened by one module, and no adaptation can reach it."""

import ast
import inspect
from pathlib import Path

import pytest

import raystudy
from raystudy.kinds import Adaptation

PACKAGE = Path(raystudy.__file__).parent


def mentions(file: Path, name: str) -> bool:
    tree = ast.parse(file.read_text())
    return any(isinstance(node, ast.Attribute) and node.attr == name for node in ast.walk(tree))


def test_only_evaluate_opens_the_test_split() -> None:
    opening = {
        str(file.relative_to(PACKAGE)) for file in PACKAGE.rglob("*.py") if mentions(file, "sealed")
    }
    assert opening == {"stages/evaluate.py"}


@pytest.mark.parametrize("file", sorted((PACKAGE / "adapt").glob("*.py")), ids=lambda f: f.stem)
def test_adaptations_do_not_know_tasks(file: Path) -> None:
    """No name in an adaptation's file could hold a Task, a Store or a module that opens one."""
    tree = ast.parse(file.read_text())
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom | ast.Import)
        for alias in node.names
    }
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not imported & {"Task", "Store", "importlib", "open"}
    assert not any(m.startswith(("raystudy.tasks", "raystudy.stages")) for m in modules)


def test_adapt_is_given_no_task() -> None:
    parameters = set(inspect.signature(Adaptation.adapt).parameters)
    assert parameters == {"self", "train", "validation", "encoder", "prompts", "seed"}
