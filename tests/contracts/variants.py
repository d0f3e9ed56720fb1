"""Finds every variant of every kind by itself: a new file is tested as soon as it exists."""

import importlib
import inspect
import pkgutil
from types import ModuleType

from raystudy import kinds
from raystudy.kinds import Spec

KINDS: dict[str, type[Spec]] = {
    "sources": kinds.Source,
    "tasks": kinds.Task,
    "methods": kinds.Method,
    "adapt": kinds.Adaptation,
    "metrics": kinds.Metric,
    "laws": kinds.Law,
    "claims": kinds.Claim,
}

EXAMPLES: dict[str, dict[str, object]] = {
    # What a variant with required fields is made from; others are made from nothing.
    "Glyphs": {"script": "latin"},
    "WebDataset": {"path": "shards"},
    "Symmetric": {"rate": 0.3},
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
}


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
    """Every concrete class of one kind's folder, or of all, ``noise.py`` included."""
    if folder:
        return [c for m in modules(folder) for c in variants_in(m, KINDS[folder])]
    noises = variants_in(importlib.import_module("raystudy.noise"), kinds.Noise)
    return noises + [c for f in KINDS for c in variants(f)]


def example(cls: type[Spec]) -> Spec:
    return cls(**EXAMPLES.get(cls.__name__, {}))
