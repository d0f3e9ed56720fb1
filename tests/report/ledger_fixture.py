"""A made-up study and its ledger: known laws plus seed noise, in the shape of a real one."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, ClassVar

import numpy as np
import polars as pl

from raystudy.kinds import Adaptation, Method, Noise, Rendered, Size, Task, Verdict
from raystudy.kinds import Claim as ClaimKind
from raystudy.ledger import SCHEMA
from raystudy.spec import Architecture, Grid, Study

SHIFTS = ("inverted", "blurred", "noisy", "rotated", "cluttered")
SIZES = (500, 1000, 2000, 4000, 8000)
SHOTS = ("1", "5", "10", "20", "full")
NUM_TRAIN = {"0": 0, "1": 10, "5": 50, "10": 100, "20": 200, "full": 1000}

# Error at ten shots: floor + factor · size^-exponent.
LAWS = {"latin": (0.06, 14.0, 0.60), "greek": (0.07, 11.0, 0.55), "symbols": (0.09, 10.0, 0.52)}
OF_SHOTS = {"0": 3.0, "1": 2.2, "5": 1.25, "10": 1.0, "20": 0.85, "full": 0.45}
OF_METHOD = {"supervised": 1.0, "clip": 1.15, "simclr": 1.6}
OF_ADAPTATION = {"linear-probe": 1.0, "fine-tune": 0.9, "zero-shot": 1.0}
OF_SPLIT = {"inverted": 1.9, "blurred": 1.3, "noisy": 1.5, "rotated": 1.4, "cluttered": 2.6}
RANDOM = {"1": 0.13, "5": 0.16, "10": 0.18, "20": 0.19, "full": 0.35}


class NamedSource(Rendered):
    label: str

    @property
    def name(self) -> str:
        return self.label

    def check(self) -> None: ...

    def known_size(self) -> int | None:
        return None

    def render(self, folder: Any) -> None:
        raise NotImplementedError


class NamedNoise(Noise):
    corrupts: ClassVar = "label"
    rate: float

    @property
    def name(self) -> str:
        return f"symmetric-{self.rate}"

    @property
    def nominal_rate(self) -> float:
        return self.rate

    def corrupt(self, clean: Any, seed: int) -> Any:
        raise NotImplementedError


class NamedMethod(Method):
    reads: ClassVar = frozenset({"label"})
    label: str

    @property
    def name(self) -> str:
        return self.label

    def parts(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def loss(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


class NamedTask(Task):
    class_names: ClassVar = ("zero", "one")
    label: str = "digits"

    @property
    def name(self) -> str:
        return self.label

    @property
    def size(self) -> Size:
        return Size(200, 20, 100)

    def check(self) -> None: ...
    def num_train(self) -> Sequence[int]:
        return (100, 100)

    def train(self) -> Any:
        raise NotImplementedError

    def validation(self) -> Any:
        raise NotImplementedError

    def _test(self, shift: str | None) -> Any:
        raise NotImplementedError


class NamedAdaptation(Adaptation):
    inputs: ClassVar = "features"
    label: str

    @property
    def name(self) -> str:
        return self.label

    def adapt(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


class FixedClaim(ClaimKind):
    """A claim with a verdict given in advance; ``missing`` makes it lack cells instead."""

    text: str
    status: Any = "supported"
    missing: str = ""

    @property
    def statement(self) -> str:
        return self.text

    def judge(self, records: pl.DataFrame) -> Verdict:
        if self.missing:
            raise ValueError(self.missing)
        return Verdict(self.status, 7.25, 5.5, 9.0, "points", "spread 9.8 at 1 shot, 2.1 at full")


def make_study(**changes: Any) -> Study:
    """The study whose axes give the report its order."""
    shared = {
        "architectures": (Architecture(name="resnet"),),
        "tasks": (NamedTask(),),
        "adaptations": tuple(
            NamedAdaptation(label=n) for n in ("linear-probe", "fine-tune", "zero-shot")
        ),
    }
    grid = Grid(
        methods=tuple(NamedMethod(label=n) for n in ("supervised", "clip", "simclr")),
        sources=tuple(NamedSource(label=n) for n in ("latin", "greek", "symbols")),
        sizes=SIZES,
        noises=(None, NamedNoise(rate=0.3), NamedNoise(rate=0.6)),
        **shared,
    )
    fields: dict[str, Any] = {
        "name": "made-up",
        "title": "Which pre-training data is worth it?",
        "grids": (grid, Grid(**shared)),
        "claims": (
            FixedClaim(text="The source matters most with few shots (2302.13602, finding 1)"),
            FixedClaim(text="SimCLR transfers better than CLIP", status="contradicted"),
            FixedClaim(text="No source wins everywhere", status="undecided"),
            FixedClaim(text="Curated labels are worth data", missing="no cell has method clip"),
        ),
    }
    return Study(**(fields | changes))


def backbones(seeds: int, sizes: Sequence[int]) -> Iterator[dict[str, Any]]:
    clean = {"noise": "clean", "noise_rate": 0.0, "realised_noise": 0.0}
    for seed in range(seeds):
        for source, size in product(LAWS, sizes):
            yield {"method": "supervised", "source": source, "size": size, "seed": seed} | clean
        for rate, size in product((0.3, 0.6), sizes):
            noise = {"noise": f"symmetric-{rate}", "noise_rate": rate}
            axes = {"method": "supervised", "source": "latin", "size": size, "seed": seed}
            yield axes | noise | {"realised_noise": rate * 0.99}
        for method, size in product(("clip", "simclr"), sizes[-2:]):
            yield {"method": method, "source": "latin", "size": size, "seed": seed} | clean
        yield {"method": "none", "source": "none", "size": 0, "seed": seed} | clean


def true_error(axes: dict[str, Any]) -> float:
    """The error that the made-up world has on the plain test split, before seed noise."""
    if axes["method"] == "none":
        return 1 - RANDOM[axes["shots"]] * (1.2 if axes["adaptation"] == "fine-tune" else 1)
    floor, factor, exponent = LAWS[axes["source"]]
    effective = axes["size"] * (1 - axes["noise_rate"]) ** 1.5
    error = floor + factor * effective**-exponent
    return (
        error
        * OF_SHOTS[axes["shots"]]
        * OF_METHOD[axes["method"]]
        * OF_ADAPTATION[axes["adaptation"]]
    )


def make_records(
    seeds: int = 3, sizes: Sequence[int] = SIZES, task: str = "digits"
) -> pl.DataFrame:
    """A ledger with ``raystudy.ledger.SCHEMA``: test, validation and five shifted splits."""
    rng = np.random.default_rng(7)
    rows = []
    for axes in backbones(seeds, sizes):
        plans = [("linear-probe", shots) for shots in SHOTS]
        if axes["size"] in (0, sizes[-1]):
            plans += [("fine-tune", shots) for shots in ("10", "full")]
        if axes["method"] in ("supervised", "clip") and axes["source"] == "latin":
            plans += [("zero-shot", "0")]
        for adaptation, shots in plans:
            cell = axes | {"adaptation": adaptation, "shots": shots}
            error = true_error(cell) * np.exp(rng.normal(0, 0.04))
            key = "/".join(str(v) for v in cell.values())
            for split in ("validation", "test", *(f"test-{s}" for s in SHIFTS)):
                worse = OF_SPLIT.get(split.removeprefix("test-"), 1.0)
                accuracy = 1 - min(0.9, error * worse)
                if split == "validation":
                    accuracy -= 0.002
                for metric, value in (("accuracy", accuracy), ("nll", 3 * (1 - accuracy))):
                    rows.append(
                        cell
                        | {"cell": key, "backbone": key.rsplit("/", 2)[0], "split": split}
                        | {"metric": metric, "value": value, "architecture": "resnet"}
                        | {"task": task, "num_train": NUM_TRAIN[shots], "chosen": "{}"}
                        | {"num_tried": 1, "seconds": 0.1}
                    )
    return pl.DataFrame(rows, schema=SCHEMA)


FACTS = {
    "cells": 453,
    "pre-trainings": 87,
    "samples seen": 5_123_456,
    "wall time": "6 min 41 s",
    "version": "0.1.0",
    "command": "raystudy run experiments/quickstart.py",
}
