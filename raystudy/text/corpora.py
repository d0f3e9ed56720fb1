"""Text that is on every machine that runs raystudy: it comes with Python and the dependencies.

Sizes are of CPython 3.11 and the dependencies of 2026, in megabytes of UTF-8, duplicates and
held-out documents included:

- ``prose`` (7): the docstrings of NumPy, scikit-learn and Matplotlib without their interactive
  examples, the topics of Python's help, and the descriptions that the dependencies are published
  with. Technical English.
- ``python`` (10): CPython's own library, docstrings included, without tests, tables of encodings
  and help texts. None of its docstrings is in ``prose``.
- ``cpp`` (12): the C and C++ headers of PyTorch and NumPy, without generated and very long ones.
"""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from raystudy.key import digest
from raystudy.text.documents import Document

Corpus = Literal["prose", "python", "cpp"]

DOCUMENTED = ("numpy", "sklearn", "matplotlib")
DESCRIBED = (
    *("filelock", "fonttools", "fsspec", "huggingface_hub", "jinja2", "matplotlib", "mlflow"),
    *("numpy", "open_clip_torch", "pillow", "polars", "pyarrow", "pydantic", "ray", "rich"),
    *("safetensors", "scikit-learn", "scipy", "threadpoolctl", "timm", "torch", "typer", "xxhash"),
    *("click", "joblib", "packaging", "protobuf", "requests", "sqlalchemy", "tqdm", "flask"),
)
NO_LIBRARY = frozenset(
    {"test", "tests", "idle_test", "site-packages", "dist-packages", "encodings", "pydoc_data"}
)
"""Folders of CPython's library that are left out."""
HEADERS = ("torch/include/c10", "torch/include/torch", "torch/include/ATen", "numpy/_core/include")
GENERATED = frozenset({"ops"})
MAX_HEADER_BYTES = 64 << 10
NAMED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
"""What has a docstring."""


def documents(corpus: Corpus) -> Iterator[Document]:
    """In the order of their names, read as they are asked for."""
    for name, path in _files(corpus):
        text = _texts(corpus, name, path.read_text("utf-8", "replace"))
        if text.strip():
            yield Document(name, text)


@lru_cache
def content(corpus: Corpus) -> str:
    """A digest of the names and sizes of the files that it is read from."""
    return digest([(name, path.stat().st_size) for name, path in _files(corpus)])


def check(corpus: Corpus) -> None:
    """Raise FileNotFoundError if the files of a corpus are not on this machine."""
    if not _files(corpus):
        raise FileNotFoundError(f"no file of the corpus '{corpus}' is here; reinstall raystudy")


@lru_cache
def _files(corpus: Corpus) -> tuple[tuple[str, Path], ...]:
    """Names and places, sorted by name."""
    find = {"prose": _prose, "python": _library, "cpp": _headers}[corpus]
    return tuple(sorted(find()))


def _library() -> Iterator[tuple[str, Path]]:
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in root.rglob("*.py"):
        inside = path.relative_to(root)
        # What describes the build of one machine is no library.
        if NO_LIBRARY.isdisjoint(inside.parts) and not path.name.startswith("_sysconfigdata"):
            yield inside.as_posix(), path


def _headers() -> Iterator[tuple[str, Path]]:
    for place in HEADERS:
        package, _, folder = place.partition("/")
        for root in _package(package):
            for path in (root / folder).rglob("*.h"):
                generated = not GENERATED.isdisjoint(path.relative_to(root).parts)
                if not generated and path.stat().st_size <= MAX_HEADER_BYTES:
                    yield f"{package}/{path.relative_to(root).as_posix()}", path


def _prose() -> Iterator[tuple[str, Path]]:
    topics = Path(sysconfig.get_paths()["stdlib"], "pydoc_data", "topics.py")
    if topics.is_file():
        yield "topics.py", topics
    for name in DESCRIBED:
        try:
            path = Path(str(distribution(name).locate_file(""))) / _metadata(name)
        except PackageNotFoundError:
            continue
        if path.is_file():
            yield f"{name}/METADATA", path
    for package in DOCUMENTED:
        for root in _package(package):
            for path in root.rglob("*.py"):
                inside = path.relative_to(root)
                if NO_LIBRARY.isdisjoint(inside.parts):
                    yield f"{package}/{inside.as_posix()}", path


def _metadata(name: str) -> str:
    found = [f for f in distribution(name).files or () if f.name == "METADATA"]
    return str(found[0]) if found else ""


def _package(name: str) -> list[Path]:
    """Where a package lies, without importing it."""
    found = find_spec(name)
    return [Path(p) for p in (found and found.submodule_search_locations) or ()]


def _texts(corpus: Corpus, name: str, text: str) -> str:
    """What of a file is text of the corpus."""
    if corpus != "prose":
        return text
    if name.endswith("/METADATA"):
        return text.partition("\n\n")[2]
    tree = ast.parse(text)
    if name == "topics.py":
        (topics,) = (n.value for n in tree.body if isinstance(n, ast.Assign))
        return "\n\n".join(ast.literal_eval(topics).values())
    found = (ast.get_docstring(n) for n in ast.walk(tree) if isinstance(n, NAMED))
    return "\n\n".join(_without_examples(doc) for doc in found if doc)


def _without_examples(docstring: str) -> str:
    lines = docstring.splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith((">>>", "...")))
