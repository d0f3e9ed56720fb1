"""Finds every variant of every kind by itself: a new file is tested as soon as it exists."""

import importlib
import inspect
import os
import pkgutil
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from raystudy import kinds
from raystudy.kinds import Spec
from raystudy.metrics.accuracy import Accuracy
from raystudy.noise.instance_dependent import write_margins
from raystudy.shards.manifest import Plain, build
from raystudy.sources.glyphs import Glyphs
from raystudy.tasks.digits import Digits
from raystudy.tasks.table import every_task

from ..tasks.miniatures import MINIATURES, tiny

KINDS: dict[str, type[Spec]] = {
    "sources": kinds.Source,
    "tasks": kinds.Task,
    "methods": kinds.Method,
    "adapt": kinds.Adaptation,
    "metrics": kinds.Metric,
    "noise": kinds.Noise,
    "laws": kinds.Law,
    "claims": kinds.Claim,
    "tokenisers": kinds.Tokeniser,
}


def _with_margins() -> dict[str, Any]:
    path = "memory://contracts/margins.parquet"
    write_margins(path, ["a", "b"], np.eye(2), np.array([0, 0]))
    return {"rate": 0.3, "margins": path}


def _on_disk() -> dict[str, Any]:
    """A source on disk has no key before it has a manifest; an empty one will do."""
    folder = Path(tempfile.gettempdir(), f"raystudy-contracts-{os.getpid()}")
    folder.mkdir(exist_ok=True)
    with tarfile.open(folder / "0.tar", "w"):
        pass
    manifest = build(Plain(str(folder)))
    return {"path": str(folder), "index": manifest.url}


def _text_files() -> dict[str, Any]:
    folder = Path(tempfile.gettempdir(), f"raystudy-contracts-{os.getpid()}")
    folder.mkdir(exist_ok=True)
    (folder / "one.txt").write_text("a document\n")
    return {"path": str(folder), "pattern": "*.txt"}


Fields = dict[str, Any]
EXAMPLES: dict[str, Fields | Callable[[], Fields]] = {
    # What a variant with required fields is made from, or a function of what needs a file; others
    # are made from nothing.
    "Glyphs": {"script": "latin"},
    "Text": {"corpus": "prose"},
    "TextFiles": _text_files,
    "TextInFiles": lambda: {**_text_files(), "label": "words"},
    "Corrupted": {"task": Digits()},
    "GlyphDomains": {"held_out": "printed"},
    "Curated": {"source": Glyphs(script="latin")},
    "Captioned": {"source": Glyphs(script="latin")},
    "Labelled": {"source": Glyphs(script="latin"), "classes": ("cat", "dog")},
    "Mixture": {"sources": (Glyphs(script="latin"), Glyphs(script="greek"))},
    "Symmetric": {"rate": 0.3},
    "Pair": {"rate": 0.3},
    "Transition": {"matrix": ((0.8, 0.2, 0.0), (0.1, 0.7, 0.2), (0.0, 0.0, 1.0))},
    "ClassConditional": {"rates": {"cat": 0.4, "dog": 0.1}, "to": {"cat": "dog"}},
    "InstanceDependent": _with_margins,
    "ShuffledCaptions": {"rate": 0.3},
    "DroppedWords": {"rate": 0.3},
    "TemplateCaptions": {"rate": 0.3},
    "Typos": {"rate": 0.3},
    "SourceSpreadShrinks": {
        "task": "digits",
        "adaptation": "linear-probe",
        "method": "supervised",
        "size": 500,
    },
    "NoiseHurtsAtEverySize": {
        "task": "digits",
        "adaptation": "linear-probe",
        "method": "supervised",
        "source": "latin",
        "shots": "10",
        "noise": "symmetric-0.6",
    },
    "MoreDataHelpsFewShotMost": {
        "task": "digits",
        "adaptation": "linear-probe",
        "method": "supervised",
        "source": "latin",
    },
    "NoiseKeepsExponent": {
        **{"task": "digits", "adaptation": "linear-probe", "method": "clip", "source": "latin"},
        **{"shots": "10", "noise": "symmetric-0.6"},
    },
    "NoiseCostsMoreThanItsExamples": {
        **{"task": "digits", "adaptation": "linear-probe", "method": "clip", "source": "latin"},
        **{"shots": "10", "noise": "symmetric-0.6"},
    },
    "NearerHasSmallerExponent": {"task": "digits", "near": "latin", "far": "symbols"},
    "TransferGrowsWithSize": {"task": "digits", "source": "latin"},
    "NoSourceWinsEverywhere": {
        "tasks": ("digits",),
        "adaptation": "linear-probe",
        "method": "supervised",
        "size": 500,
        "shots": "10",
    },
    "WorthMoreData": {
        "task": "digits",
        "adaptation": "linear-probe",
        "better_method": "supervised",
        "better_source": "latin",
        "worse_method": "clip",
        "worse_source": "greek",
    },
    "TemperatureScaled": {"metric": Accuracy()},
    "TrendOverModels": {"against": "parameters", "adaptation": "fine-tune"},
    "Head2ToeGainsWhereAffinityIsLow": {"tasks": tuple("abcd"), "method": "supervised"},
    "Head2ToeMatchesFineTuning": {"tasks": ("digits",), "method": "supervised"},
}


def _task_on_disk(cls: type[Spec]) -> dict[str, Any]:
    """A task on disk has no key before its data is there; a miniature will do."""
    for name in MINIATURES:
        task = every_task()[name]
        if type(task) is cls:
            folder = Path(tempfile.gettempdir(), f"raystudy-contracts-{os.getpid()}")
            if not (folder / f"{name} data").exists():
                tiny(name, folder)
            given = {n: getattr(task, n) for n, f in cls.model_fields.items() if f.is_required()}
            return given | {"path": str(folder / f"{name} data")}
    raise KeyError(f"{cls.__name__} has no miniature in tests/tasks/miniatures.py")


def modules(folder: str) -> list[ModuleType]:
    package = importlib.import_module(f"raystudy.{folder}")
    return [
        importlib.import_module(f"raystudy.{folder}.{info.name}")
        for info in pkgutil.iter_modules(package.__path__)
    ]


def variants_in(module: ModuleType, kind: type[Spec]) -> list[type[Spec]]:
    return [
        cls
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if issubclass(cls, kind)
        and not inspect.isabstract(cls)
        and cls.__module__ == module.__name__
    ]


def variants(folder: str | None = None) -> list[type[Spec]]:
    """Every concrete class of one kind's folder, or of all."""
    if folder:
        return [c for m in modules(folder) for c in variants_in(m, KINDS[folder])]
    return [c for f in KINDS for c in variants(f)]


def example(cls: type[Spec]) -> Spec:
    if issubclass(cls, kinds.TaskOnDisk) and cls.__name__ not in EXAMPLES:
        return cls(**_task_on_disk(cls))
    fields = EXAMPLES.get(cls.__name__, _on_disk if issubclass(cls, kinds.OnDisk) else {})
    return cls(**(fields() if callable(fields) else fields))
