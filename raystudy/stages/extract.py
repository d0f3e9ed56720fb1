"""Extract: each backbone × task once; the features are kept and shared by every probe."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

import torch
from pydantic import SerializeAsAny
from safetensors.torch import load_file
from torch import nn

from raystudy.backbone import Objective, build_backbone, build_objective
from raystudy.kinds import Encoder, Examples, Floats, Spec, Task
from raystudy.spec import Backbone, Initialisation, Preprocessing
from raystudy.store import Store
from raystudy.views import embed


class Features(Spec):
    """The identity of extracted features: which backbone saw which task."""

    backbone: Backbone
    task: SerializeAsAny[Task]


class StoredEncoder(Encoder):
    """A backbone read from the store, or at its initialisation."""

    def __init__(self, backbone: Backbone, store: Store) -> None:
        self._spec = backbone
        self._store = store

    @property
    def preprocessing(self) -> Preprocessing:
        return self._spec.architecture.preprocessing

    @property
    def module(self) -> nn.Module:
        return copy.deepcopy(self.frozen)

    @cached_property
    def frozen(self) -> nn.Module:
        """The backbone in evaluation mode, shared."""
        if isinstance(self._spec, Initialisation):
            return build_backbone(self._spec.architecture, self._spec.seed).eval()
        return self._objective.backbone

    def zero_shot(self, prompts: Sequence[Sequence[str]]) -> Callable[[Floats], Floats] | None:
        if isinstance(self._spec, Initialisation):
            return None
        parts, names = self._objective.parts, self._source_classes
        classify = self._spec.method.zero_shot(parts, names, prompts)
        if classify is None:
            return None

        def logits(features: Floats) -> Floats:
            with torch.inference_mode():
                return classify(torch.from_numpy(features)).numpy()

        return logits

    @cached_property
    def _source_classes(self) -> list[str]:
        return self._store.provenance("pretrainings", self._spec.key)["class_names"]

    @cached_property
    def _objective(self) -> Objective:
        assert not isinstance(self._spec, Initialisation)
        folder = self._store.local("pretrainings", self._spec.key)
        objective = build_objective(self._spec, len(self._source_classes))
        objective.load_state_dict(load_file(folder / "objective.safetensors"))
        return objective.eval()


def extract(encoder: StoredEncoder, images: Examples, batch_size: int = 128) -> Examples:
    """The same examples with features (N, D) float32 in place of images (N, H, W, 3) uint8."""
    return replace(
        images, inputs=embed(encoder.frozen, images.inputs, encoder.preprocessing, batch_size)
    )
