"""Defaults are left out of keys, so a changed default would silently rename old results.

A failing test here means that a default changed (or a field came or went). If what is computed
changes with it, bump VERSION of that class; then update its line, with a note in CHANGELOG.md.
"""

import importlib
import inspect

import pytest

from raystudy.key import digest
from raystudy.kinds import Spec

spec_module = importlib.import_module("raystudy.spec")
SPECS = {
    name: cls
    for name, cls in inspect.getmembers(spec_module, inspect.isclass)
    if issubclass(cls, Spec) and cls.__module__ == "raystudy.spec"
}
MODULES = (
    *("adapt.linear_probe", "adapt.finetune", "adapt.zero_shot"),
    *("methods.supervised", "methods.clip", "methods.simclr"),
    *("sources.glyphs", "sources.webdataset", "tasks.digits", "noise"),
)
for module in MODULES:
    found = importlib.import_module(f"raystudy.{module}")
    for name, cls in inspect.getmembers(found, inspect.isclass):
        if issubclass(cls, Spec) and cls.__module__ == found.__name__:
            SPECS[name] = cls


def defaults(cls: type[Spec]) -> str:
    fields = {
        name: repr(field.get_default(call_default_factory=True))
        for name, field in cls.model_fields.items()
        if not field.is_required()
    }
    return digest([cls.VERSION, fields])[:8]


@pytest.mark.parametrize("name", sorted(SPECS))
def test_defaults(name: str) -> None:
    assert defaults(SPECS[name]) == GOLDEN[name]


GOLDEN = {
    "Architecture": "1b3b5020",
    "Augmentation": "e2135480",
    "Budget": "5c1ccf3a",
    "CLIP": "a6414765",
    "Cell": "31b64fe5",
    "Digits": "85f11eb2",
    "FineTune": "47872ac0",
    "Glyphs": "4b49e27f",
    "Grid": "1aa47b1e",
    "Initialisation": "31b64fe5",
    "LinearProbe": "38f1daf4",
    "Optimisation": "bee7d199",
    "Preprocessing": "6044d616",
    "Pretraining": "9a0930f2",
    "SimCLR": "bfc0a088",
    "Study": "43450256",
    "Supervised": "6dade350",
    "Symmetric": "fea67b72",
    "WebDataset": "088ac52d",
    "ZeroShot": "fea67b72",
}
