"""What a study is made of: frozen specs that say *what* to compute and never *where*."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, SerializeAsAny, model_validator

from raystudy.hub.name import parse
from raystudy.imported import Imported
from raystudy.key import digest
from raystudy.kinds import (
    Adaptation,
    Claim,
    Law,
    Method,
    Metric,
    Modality,
    Network,
    Noise,
    Source,
    Spec,
    Task,
)

if TYPE_CHECKING:
    from raystudy.shards.image import Region
    from raystudy.shards.table import Fault

STUDY_FILE = "raystudy_experiment_"
"""How names of modules begin that are study files: what they define no other process can import."""
Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(ge=0, le=1)]
FULL: Literal["full"] = "full"
Shots = Positive | Literal["full"]
Validation = Literal["full", "few-shot"]
Selection = Literal["validation", "domains", "test"]
RGB = tuple[float, float, float]


class Preprocessing(Spec):
    """How a backbone sees an image, in training and evaluation alike."""

    image_size: Positive = 224
    grayscale: bool = False
    standardise: Literal["dataset", "image"] = "dataset"
    """Subtract and divide by a data set's mean and deviation, or by each image's own."""
    mean: RGB | None = None
    """Of that data set, in [0, 1]; ImageNet's where there is none."""
    deviation: RGB | None = None
    resize: Literal["squash", "shortest"] = "squash"
    """Each side to ``image_size``, whatever the image's shape; or its shorter side, of which the
    middle square is shown."""
    crop_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of the side of a resized image, how much is shown: the image is resized to ``image_size`` ÷
    ``crop_share``, and its middle taken."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"


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


class Architecture(Network):
    """A timm image backbone and what it is fed."""

    modality: ClassVar[Modality] = "images"
    name: str
    args: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of ``timm.create_model``."""
    preprocessing: Preprocessing = Preprocessing()

    @property
    def title(self) -> str:
        return self.label or self.name

    @property
    def example_shape(self) -> tuple[int, ...]:
        side = self.preprocessing.image_size
        return side, side, 3

    @property
    def example_dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8)

    @property
    def guessed_flops(self) -> float | None:
        return None

    def decode(self, data: bytes, out: NDArray[Any], region: Region | None) -> Fault | None:
        from raystudy.shards.image import BadImage, decode
        from raystudy.shards.table import Fault

        try:
            decode(data, out.shape[0], region, out)
        except BadImage:
            return Fault.BAD_IMAGE
        return None


class Optimisation(Spec):
    """The optimiser, its learning rate over the run, and what keeps it steady."""

    optimiser: Literal["adamw", "sgd", "lars"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    betas: tuple[Rate, Rate] = (0.9, 0.999)
    """Of AdamW."""
    epsilon: Annotated[float, Field(gt=0)] = 1e-8
    """Of AdamW."""
    momentum: Rate = 0.9
    """Of SGD and LARS."""
    schedule: Literal["cosine", "wsd"] = "cosine"
    """After the warm-up: half a cosine down to zero; or warm-up–stable–decay, constant and then
    1 − √t down to zero (Hägele et al. 2024, arXiv 2405.18392)."""
    decay_fraction: Rate = 0.2
    """The share of a ``wsd`` run, at its end, in which the rate falls."""
    warmup_fraction: Rate = 0.1
    warmup_steps: Annotated[int, Field(ge=0)] | None = None
    """In place of the fraction."""
    clip_norm: Annotated[float, Field(gt=0)] | None = 1.0
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Publish an exponential moving average of the weights in place of the last ones."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the forward pass (autocast); weights and optimiser stay in float32."""

    def num_warmup_steps(self, num_steps: int) -> int:
        if self.warmup_steps is not None:
            return self.warmup_steps
        return int(self.warmup_fraction * num_steps)

    def num_decay_steps(self, num_steps: int) -> int:
        """Steps at the end of a ``wsd`` run."""
        return int(self.decay_fraction * num_steps)


class Budget(Spec):
    """How long a pre-training lasts, and in which order it sees its examples."""

    epochs: Annotated[float, Field(gt=0)] = 1.0
    samples: Positive | None = None
    """Samples to be seen, whatever the size; in place of ``epochs``."""
    batch_size: Positive = 64
    """Global: the same however many workers share it."""
    chunk_size: Positive = 32
    """Consecutive examples of the epoch's order that go to one worker together."""
    accumulation: Positive = 1
    """Parts in which a step's batch passes through the backbone, one after the other, so that less
    of it is in memory; a loss over the whole batch stays one. Batch norm sees each part alone."""
    order: Literal["shuffled", "sampled"] = "shuffled"
    """Of the first epoch: shuffled, or as the source was sampled (by hash, shard by shard where the
    source is sampled by shard). In the latter, runs of all sizes begin alike, so that with a
    ``wsd`` schedule they share a trunk."""
    run_length: Positive = 1
    """Neighbours in a shard that stay together when an epoch is shuffled, so that they are read at
    once: 1 shuffles every example on its own; 16 to 64 suits an object store or a spinning disk."""

    @model_validator(mode="after")
    def _whole_chunks(self) -> Self:
        if self.batch_size % (self.chunk_size * self.accumulation):
            raise ValueError(
                f"Budget.batch_size={self.batch_size} is not a multiple of "
                f"chunk_size={self.chunk_size}"
                + (f" × accumulation={self.accumulation}" if self.accumulation > 1 else "")
                + "; a step is a whole number of chunks"
            )
        return self

    def num_steps(self, size: int) -> int:
        """Optimiser steps for ``size`` examples, at least one."""
        samples = self.samples or int(self.epochs * size)
        return max(1, samples // self.batch_size)


class Pretraining(Spec):
    """One pre-training run: method × architecture × source × size × noise × budget × seed."""

    kind: ClassVar[str] = "Backbone"
    room: ClassVar[str] = "pretrainings"
    """Of the store, where its result lies."""
    method: SerializeAsAny[Method]
    architecture: SerializeAsAny[Network]
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

    @model_validator(mode="after")
    def _network_fits_method(self) -> Self:
        if self.method.modality != self.architecture.modality:
            raise ValueError(
                f"Pretraining.method={self.method.name} learns from {self.method.modality}, and "
                f"architecture {self.architecture.title} takes {self.architecture.modality}"
            )
        return self

    @property
    def num_steps(self) -> int:
        return self.budget.num_steps(self.size)

    @property
    def samples_seen(self) -> int:
        return self.num_steps * self.budget.batch_size

    @property
    def trunk(self) -> Trunk | None:
        """The run up to where its learning rate begins to fall, which is also how every larger run
        of its kind begins; None where runs of other sizes begin otherwise."""
        if self.optimisation.schedule != "wsd" or self.budget.order != "sampled":
            return None
        steps = self.num_steps - self.optimisation.num_decay_steps(self.num_steps)
        samples = steps * self.budget.batch_size
        if self.optimisation.warmup_steps is None or not 0 < samples <= self.size:
            return None
        values = {name: getattr(self, name) for name in Pretraining.model_fields}
        return Trunk(
            **values
            | {
                "size": samples,
                "budget": self.budget.model_copy(update={"epochs": 1.0, "samples": None}),
                "optimisation": self.optimisation.model_copy(
                    update={"decay_fraction": 0.0, "warmup_fraction": 0.0}
                ),
            }
        )

    def axes(self) -> dict[str, Any]:
        """The columns that every record of this backbone carries."""
        return {
            "method": self.method.name,
            "source": self.source.name,
            "size": self.size,
            "noise": self.noise.name if self.noise else "clean",
            "noise_rate": self.noise.nominal_rate if self.noise else 0.0,
            "architecture": self.architecture.title,
        }


class Trunk(Pretraining):
    """The beginning that pre-trainings of several sizes share: every example once, in the order of
    the source, at a constant learning rate. Its result is the whole state of training."""

    kind: ClassVar[str] = "Trunk"
    room: ClassVar[str] = "trunks"

    @property
    def family(self) -> str:
        """The same for trunks of which the shorter is how the longer begins."""
        return self.model_copy(update={"size": self.budget.batch_size}).key


class Initialisation(Spec):
    """A backbone that saw no data: the baseline of every study."""

    kind: ClassVar[str] = "Backbone"
    architecture: SerializeAsAny[Network]
    seed: int = 0

    def axes(self) -> dict[str, Any]:
        return {
            "method": "none",
            "source": "none",
            "size": 0,
            "noise": "clean",
            "noise_rate": 0.0,
            "architecture": self.architecture.title,
        }


class Published(Spec):
    """A backbone that others pre-trained. What its weights hold is its identity (``content``),
    where they lie is not."""

    kind: ClassVar[str] = "Backbone"
    elsewhere: ClassVar[frozenset[str]] = frozenset({"weights", "sha256"})
    model: str
    """``timm/resnet50.a1_in1k``: a name and tag of timm; ``open_clip/RN50/openai``: of open_clip;
    ``hf-hub:laion/CLIP-ViT-B-32-laion2B-s34B-b79K``: a repository with the files of either."""
    weights: str | None = None
    """A file (.safetensors, .pt, .pth, .bin) in place of what is published under the name, whose
    tag may then be left out. Workers on other machines must find it under the same path."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Of the weights: others are refused. Where it is given, a study can be planned, and its report
    drawn, without the weights."""
    args: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of ``timm.create_model``, or fields of open_clip's model configuration."""
    preprocessing: dict[str, Any] = Field(default_factory=dict)
    """Fields of ``Preprocessing`` in place of the model's own."""
    label: str | None = None
    """What tables call its source, if not the tag."""

    @model_validator(mode="after")
    def _is_understood(self) -> Self:
        parse(self.model)
        Preprocessing(**self.preprocessing)
        return self

    @cached_property
    def content(self) -> str:
        """A digest of its weights and of how its library or repository describes it.

        Raises ValueError for a name that nobody offers, and FileNotFoundError for weights that are
        not on this machine and cannot be downloaded.
        """
        from raystudy.hub.files import sha256

        return self.content_with(self.sha256 or sha256(self.weights_file()))

    def content_with(self, weights_sha256: str) -> str:
        """What ``content`` is for weights of that hash."""
        from raystudy.hub.offer import offer

        found = offer(self.model)
        return digest([weights_sha256, found.config, found.preprocessing])

    def is_here(self) -> bool:
        """Whether its weights and their description are on this machine. Raises ValueError for a
        name that nobody offers, or that says not which weights."""
        from raystudy.hub.offer import is_here

        return is_here(self.model, self.weights)

    def weights_file(self) -> Path:
        """Found on this machine, or downloaded. Raises FileNotFoundError."""
        from raystudy.hub.offer import weights_file

        return weights_file(self.model, self.weights)

    def axes(self) -> dict[str, Any]:
        """``source`` is the tag, which is how the libraries say what a model learnt from."""
        name = parse(self.model)
        return {
            "method": "published",
            "source": self.label or name.tag or self.content[:8],
            "size": 0,
            "noise": "clean",
            "noise_rate": 0.0,
            "architecture": name.architecture,
        }


Backbone = Pretraining | Initialisation | Published


SELECTED: dict[Selection, str] = {
    "validation": "",
    "domains": " (selected on left-out domains)",
    "test": " (selected on test)",
}
"""How tables call what was not chosen on validation examples."""


class Cell(Spec):
    """The unit of result. Its few-shot draw depends on (task, shots, seed) only: it is the same
    for every backbone and adaptation, so arms are compared in pairs."""

    backbone: Backbone
    task: SerializeAsAny[Task]
    adaptation: SerializeAsAny[Adaptation]
    shots: Shots | None
    """Training examples of each class, ``full`` for all; None where the adaptation takes none."""
    seed: int = 0
    validation: Validation = "full"
    """How many examples hyper-parameters are chosen on: all that the task has, which few-shot
    users never have, or as many of each class as there are ``shots``."""
    selection: Selection = "validation"
    """Where hyper-parameters are chosen; of a task with several domains also on each domain in
    turn, left out of training (``raystudy.stages.left_out``). On ``test`` a result is biased, and
    every table says so: only for comparison with numbers that were published so."""

    def axes(self) -> dict[str, Any]:
        how = SELECTED[self.selection]
        few = " (few-shot validation)" if self.validation == "few-shot" else ""
        return self.backbone.axes() | {
            "task": self.task.name,
            "adaptation": f"{self.adaptation.name}{few}{how}",
            "shots": str(self.shots or 0),
            "seed": self.seed,
        }


class Grid(Spec):
    """A cross product of pre-trainings and what is done with each. Seeds are paired: seed s
    draws the subset, the noise, the initialisation, the order and the few-shot examples."""

    methods: tuple[SerializeAsAny[Method], ...] = ()
    """Empty: the grid adapts untrained initialisations, unless it names published backbones."""
    sources: tuple[SerializeAsAny[Source], ...] = ()
    sizes: tuple[Positive, ...] = ()
    noises: tuple[SerializeAsAny[Noise] | None, ...] = (None,)
    architectures: tuple[SerializeAsAny[Network], ...] = ()
    published: tuple[Published, ...] = ()
    """Backbones to adapt beside those that the grid pre-trains, or alone."""
    budget: Budget = Budget()
    optimisation: Optimisation = Optimisation()
    augmentation: Augmentation = Augmentation()
    tasks: tuple[SerializeAsAny[Task], ...]
    adaptations: tuple[SerializeAsAny[Adaptation], ...]
    shots: tuple[Shots, ...] = (1, 5, 10, 20, "full")
    seeds: tuple[int, ...] = (0, 1, 2)
    validation: Validation = "full"
    """Of every cell, as is ``selection``."""
    selection: Selection = "validation"

    @model_validator(mode="after")
    def _no_empty_axis(self) -> Self:
        axes = ["tasks", "adaptations", "seeds"]
        axes += ["architectures"] if self.methods or not self.published else []
        axes += ["sources", "sizes", "noises"] if self.methods else []
        for name in axes:
            if not getattr(self, name):
                raise ValueError(f"Grid.{name} is empty, so the grid has no cell; name one")
        return self

    def backbones(self) -> Iterator[Backbone]:
        """Each once: a published backbone serves every seed."""
        yield from self.published
        if not self.methods and not self.published:
            for architecture, seed in product(self.architectures, self.seeds):
                yield Initialisation(architecture=architecture, seed=seed)
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
            seeds = self.seeds if isinstance(backbone, Published) else (backbone.seed,)
            for task, adaptation, seed in product(self.tasks, self.adaptations, seeds):
                shots: Sequence[Shots | None] = self.shots if adaptation.uses_shots else (None,)
                for s in shots:
                    yield Cell(
                        backbone=backbone,
                        task=task,
                        adaptation=adaptation,
                        shots=s,
                        seed=seed,
                        validation=self.validation,
                        selection=self.selection,
                    )


class Study(Spec):
    """Everything one file asks for."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    title: str = ""
    grids: tuple[Grid, ...] = ()
    tables: tuple[Imported, ...] = ()
    """Results of others, beside those of the grids or alone."""
    law: SerializeAsAny[Law] | None = None
    metrics: tuple[SerializeAsAny[Metric], ...] = ()
    """Beside accuracy and negative log-likelihood: computed from the predictions that are kept, so
    more of them cost no model."""
    claims: tuple[SerializeAsAny[Claim], ...] = ()

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not self.grids and not self.tables:
            raise ValueError("Study has neither grids nor tables, so it has no cell; give one")
        return self

    def cells(self) -> list[Cell]:
        """Every cell once, in the order of the grids; those of ``tables`` are finished, and only
        their rows know them (``raystudy.imports``)."""
        return list({cell.key: cell for grid in self.grids for cell in grid.cells()}.values())
