"""Extract: each backbone × task once; the features are kept and shared by every probe."""

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from pydantic import SerializeAsAny
from safetensors.torch import load_file
from torch import Tensor, nn

from raystudy.backbone import build_backbone, build_objective
from raystudy.kinds import Encoder, Examples, Images, Network, Spec, Task
from raystudy.spec import (
    Architecture,
    Backbone,
    Initialisation,
    Preprocessing,
    Pretraining,
    Published,
)
from raystudy.store import Store
from raystudy.taps import Taps
from raystudy.views import device, shown, squares
from raystudy.zoo.opened import Opened

BATCH = 128


class Features(Spec):
    """The identity of extracted features: which backbone saw which task, and where it was read."""

    VERSION = 2
    backbone: Backbone
    task: SerializeAsAny[Task]
    taps: int | None = None
    """As in ``Adaptation.taps``."""


Layers = Sequence[int | None]
"""What of a backbone is read: its last layer (None), or all, pooled to so many features each."""


def features(
    encoder: "StoredEncoder",
    splits: Mapping[str, Callable[[], Examples]],
    layers: Layers,
    room: str,
    task: Task,
    store: Store,
) -> dict[int | None, dict[str, Examples]]:
    """The examples of each split with features (N, D) float32 in place of images, for each of
    ``layers``; what ``room`` of the store has not is extracted first, in one pass over the images.

    Features lie on disk and are read as they are needed. Raises OSError or ValueError, naming the
    file, for an image that cannot be read.
    """
    specs = {t: Features(backbone=encoder.spec, task=task, taps=t) for t in layers}
    opened = {name: split() for name, split in splits.items()}
    missing = {t: spec for t, spec in specs.items() if not store.done(room, spec.key)}
    if missing:
        with ExitStack() as stack:
            folders = {}
            for t, spec in missing.items():
                folders[t], facts = stack.enter_context(store.writing(room, spec))
                if t is not None:
                    facts["groups"] = encoder.groups(t)
            for name, examples in opened.items():
                files = {t: folder / f"{name}.npy" for t, folder in folders.items()}
                extract(encoder, examples, files)
    return {
        t: {
            name: Examples(
                e.ids,
                np.load(store.local(room, spec.key) / f"{name}.npy", mmap_mode="r"),
                e.labels,
            )
            for name, e in opened.items()
        }
        for t, spec in specs.items()
    }


def whole(examples: Examples, encoder: "StoredEncoder") -> Examples:
    """The same examples in memory, images in one size, as the backbone will see them."""
    if not isinstance(examples.inputs, Images):
        return examples
    return replace(examples, inputs=squares(examples.inputs, encoder.preprocessing))


def extract(encoder: "StoredEncoder", examples: Examples, files: Mapping[int | None, Path]) -> None:
    """Write features (N, D) float32 of each of the layers as .npy, a batch at a time."""
    read = _reader(encoder, list(files))
    arrays: dict[int | None, np.memmap] = {}
    with torch.inference_mode():
        for first in range(0, len(examples), BATCH):
            rows = np.arange(first, min(first + BATCH, len(examples)))
            views = shown(examples.inputs, rows, encoder.preprocessing)
            for t, x in read(views.to(device())).items():
                if t not in arrays:
                    shape = (len(examples), x.shape[1])
                    arrays[t] = open_memmap(files[t], "w+", np.float32, shape)
                arrays[t][rows] = x.float().cpu().numpy()
    for array in arrays.values():
        array.flush()


def _reader(
    encoder: "StoredEncoder", layers: Layers
) -> Callable[[Tensor], dict[int | None, Tensor]]:
    backbone = encoder.frozen.to(device())
    taps = {t: Taps(backbone, t) for t in layers if t is not None}

    def read(views: Tensor) -> dict[int | None, Tensor]:
        found: dict[int | None, Tensor] = {}
        for t, tapped in taps.items():
            found[t], found[None] = tapped.with_output(views)
        if not taps:
            found[None] = backbone(views)
        return {t: found[t] for t in layers}

    return read


class StoredEncoder(Encoder):
    """A backbone read from the store, from where it was published, or at its initialisation."""

    def __init__(self, backbone: Backbone, store: Store) -> None:
        self.spec = backbone
        self._store = store

    @property
    def preprocessing(self) -> Preprocessing:
        seen = self._opened.preprocessing
        if seen is None:
            raise TypeError(f"{self.spec.axes()['architecture']} reads tokens, not images")
        return seen

    @property
    def module(self) -> nn.Module:
        return copy.deepcopy(self.frozen)

    @property
    def frozen(self) -> nn.Module:
        """The backbone in evaluation mode, shared."""
        return self._opened.backbone

    def groups(self, taps: int) -> Mapping[str, int]:
        return Taps(self.frozen, taps).groups(self.preprocessing.image_size)

    def zero_shot(self, prompts: Sequence[Sequence[str]]) -> nn.Module | None:
        return self._opened.classifier(prompts)

    @cached_property
    def _opened(self) -> Opened:
        match self.spec:
            case Pretraining():
                return _open_pretrained(self.spec, self._store)
            case Published():
                from raystudy.zoo.published import open_published

                return open_published(self.spec)
            case Initialisation():
                backbone = build_backbone(self.spec.architecture, self.spec.seed).eval()
                return Opened(backbone, _seen(self.spec.architecture), lambda prompts: None)


def _open_pretrained(spec: Pretraining, store: Store) -> Opened:
    classes = store.provenance("pretrainings", spec.key)["class_names"]
    objective = build_objective(spec, len(classes))
    folder = store.local("pretrainings", spec.key)
    objective.load_state_dict(load_file(folder / "objective.safetensors"))
    objective.eval()

    def classifier(prompts: Sequence[Sequence[str]]) -> nn.Module | None:
        return spec.method.zero_shot(objective.parts, classes, prompts)

    return Opened(objective.backbone, _seen(spec.architecture), classifier)


def _seen(network: Network) -> Preprocessing | None:
    return network.preprocessing if isinstance(network, Architecture) else None
