"""What a study is made of: frozen specs that say *what* to compute and never *where*."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, SerializeAsAny, model_validator

from raystudy.kinds import Adaptation, Claim, Law, Method, Noise, Source, Spec, Task

Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(ge=0, le=1)]
FULL: Literal["full"] = "full"
Shots = Positive | Literal["full"]


class Preprocessing(Spec):
    """How a backbone sees an image, in training and evaluation alike."""

    image_size: Positive = 224
    grayscale: bool = False
    standardise: Literal["dataset", "image"] = "dataset"
    """Subtract and divide by ImageNet's mean and deviation, or by each image's own."""


class Augmentation(Spec):
    """Random views. Ranges are half-widths around the identity; all zero is no augmentation."""

    rotation_degrees: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    translation: float = 0.0
    """As a share of the image's side."""
    low_resolution: tuple[Positive, Positive] | None = None
    """Scale down to a side drawn from this closed range (pixels), and up again."""
    flip: bool = False
    random_crop: tuple[Rate, Rate] | None = None
    """Show a random region whose share of the image's area lies in this range, at an aspect ratio
    from 3/4 to 4/3 (RandomResizedCrop); without it, the largest square in the middle."""


class Architecture(Spec):
    """A timm image backbone and what it is fed."""

    name: str
    args: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of ``timm.create_model``."""
    preprocessing: Preprocessing = Preprocessing()


class Optimisation(Spec):
    """AdamW with linear warm-up and cosine decay to zero."""

    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    warmup_fraction: Rate = 0.1
    clip_norm: Annotated[float, Field(gt=0)] | None = 1.0


class Budget(Spec):
    """How long a pre-training lasts."""

    epochs: Annotated[float, Field(gt=0)] = 1.0
    batch_size: Positive = 64
    """Global: the same however many workers share it."""
    chunk_size: Positive = 32
    """Consecutive examples of the epoch's order that go to one worker together."""
    run_length: Positive = 1
    """Neighbours in a shard that stay together when an epoch is shuffled, so that they are read at
    once: 1 shuffles every example on its own; 16 to 64 suits an object store or a spinning disk."""

    @model_validator(mode="after")
    def _whole_chunks(self) -> Self:
        if self.batch_size % self.chunk_size:
            raise ValueError(
                f"Budget.batch_size={self.batch_size} is not a multiple of "
                f"chunk_size={self.chunk_size}; a step is a whole number of chunks"
            )
        return self

    def num_steps(self, size: int) -> int:
        """Optimiser steps for ``size`` examples, at least one."""
        return max(1, int(self.epochs * size) // self.batch_size)


class Pretraining(Spec):
    """One pre-training run: method × architecture × source × size × noise × budget × seed."""

    kind: ClassVar[str] = "Backbone"
    method: SerializeAsAny[Method]
    architecture: Architecture
    source: SerializeAsAny[Source]
    size: Positive
    noise: SerializeAsAny[Noise] | None = None
    budget: Budget = Budget()
    optimisation: Optimisation = Optimisation()
    augmentation: Augmentation = Augmentation()
    seed: int = 0

    @model_validator(mode="after")
    def _noise_is_read(self) -> Self:
        if self.noise and self.noise.corrupts not in self.method.reads:
            raise ValueError(
                f"Pretraining.noise={self.noise.name} corrupts {self.noise.corrupts}s, which "
                f"{type(self.method).__name__} never reads; drop the noise for this method"
            )
        return self

    @property
    def num_steps(self) -> int:
        return self.budget.num_steps(self.size)

    @property
    def samples_seen(self) -> int:
        return self.num_steps * self.budget.batch_size

    def axes(self) -> dict[str, Any]:
        """The columns that every record of this backbone carries."""
        return {
            "method": self.method.name,
            "source": self.source.name,
            "size": self.size,
            "noise": self.noise.name if self.noise else "clean",
            "noise_rate": self.noise.nominal_rate if self.noise else 0.0,
        }


class Initialisation(Spec):
    """A backbone that saw no data: the baseline of every study."""

    kind: ClassVar[str] = "Backbone"
    architecture: Architecture
    seed: int = 0

    def axes(self) -> dict[str, Any]:
        return {"method": "none", "source": "none", "size": 0, "noise": "clean", "noise_rate": 0.0}


Backbone = Pretraining | Initialisation


class Cell(Spec):
    """The unit of result. Its few-shot draw depends on (task, shots, seed) only: it is the same
    for every backbone and adaptation, so arms are compared in pairs."""

    backbone: Backbone
    task: SerializeAsAny[Task]
    adaptation: SerializeAsAny[Adaptation]
    shots: Shots | None
    """Training examples of each class, ``full`` for all; None where the adaptation takes none."""
    seed: int = 0

    def axes(self) -> dict[str, Any]:
        return self.backbone.axes() | {
            "architecture": self.backbone.architecture.name,
            "task": self.task.name,
            "adaptation": self.adaptation.name,
            "shots": str(self.shots or 0),
            "seed": self.seed,
        }


class Grid(Spec):
    """A cross product of pre-trainings and what is done with each. Seeds are paired: seed s
    draws the subset, the noise, the initialisation, the order and the few-shot examples."""

    methods: tuple[SerializeAsAny[Method], ...] = ()
    """Empty: the grid adapts untrained initialisations."""
    sources: tuple[SerializeAsAny[Source], ...] = ()
    sizes: tuple[Positive, ...] = ()
    noises: tuple[SerializeAsAny[Noise] | None, ...] = (None,)
    architectures: tuple[Architecture, ...]
    budget: Budget = Budget()
    optimisation: Optimisation = Optimisation()
    augmentation: Augmentation = Augmentation()
    tasks: tuple[SerializeAsAny[Task], ...]
    adaptations: tuple[SerializeAsAny[Adaptation], ...]
    shots: tuple[Shots, ...] = (1, 5, 10, 20, "full")
    seeds: tuple[int, ...] = (0, 1, 2)

    @model_validator(mode="after")
    def _no_empty_axis(self) -> Self:
        axes = ["architectures", "tasks", "adaptations", "seeds"]
        axes += ["sources", "sizes", "noises"] if self.methods else []
        for name in axes:
            if not getattr(self, name):
                raise ValueError(f"Grid.{name} is empty, so the grid has no cell; name one")
        return self

    def backbones(self) -> Iterator[Backbone]:
        if not self.methods:
            for architecture, seed in product(self.architectures, self.seeds):
                yield Initialisation(architecture=architecture, seed=seed)
            return
        for method, architecture, source, size, noise, seed in product(
            self.methods, self.architectures, self.sources, self.sizes, self.noises, self.seeds
        ):
            yield Pretraining(
                method=method,
                architecture=architecture,
                source=source,
                size=size,
                noise=noise,
                budget=self.budget,
                optimisation=self.optimisation,
                augmentation=self.augmentation,
                seed=seed,
            )

    def cells(self) -> Iterator[Cell]:
        for backbone in self.backbones():
            for task, adaptation in product(self.tasks, self.adaptations):
                shots: Sequence[Shots | None] = self.shots if adaptation.uses_shots else (None,)
                for s in shots:
                    yield Cell(
                        backbone=backbone,
                        task=task,
                        adaptation=adaptation,
                        shots=s,
                        seed=backbone.seed,
                    )


class Study(Spec):
    """Everything one file asks for."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    title: str = ""
    grids: tuple[Grid, ...]
    law: SerializeAsAny[Law] | None = None
    claims: tuple[SerializeAsAny[Claim], ...] = ()

    def cells(self) -> list[Cell]:
        """Every cell once, in the order of the grids."""
        return list({cell.key: cell for grid in self.grids for cell in grid.cells()}.values())
