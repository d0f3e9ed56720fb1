"""Extract: each backbone × task once; the features are kept and shared by every probe."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

import torch
from pydantic import SerializeAsAny
from safetensors.torch import load_file
from torch import nn

from raystudy.backbone import build_backbone, build_objective
from raystudy.kinds import Encoder, Examples, Floats, Spec, Task
from raystudy.spec import Backbone, Initialisation, Preprocessing, Pretraining, Published
from raystudy.store import Store
from raystudy.views import embed
from raystudy.zoo.opened import Classifier, Opened


class Features(Spec):
    """The identity of extracted features: which backbone saw which task."""

    backbone: Backbone
    task: SerializeAsAny[Task]


class StoredEncoder(Encoder):
    """A backbone read from the store, from where it was published, or at its initialisation."""

    def __init__(self, backbone: Backbone, store: Store) -> None:
        self._spec = backbone
        self._store = store

    @property
    def preprocessing(self) -> Preprocessing:
        return self._opened.preprocessing

    @property
    def module(self) -> nn.Module:
        return copy.deepcopy(self.frozen)

    @property
    def frozen(self) -> nn.Module:
        """The backbone in evaluation mode, shared."""
        return self._opened.backbone

    def zero_shot(self, prompts: Sequence[Sequence[str]]) -> Callable[[Floats], Floats] | None:
        classify = self._opened.classifier(prompts)
        if classify is None:
            return None

        def logits(features: Floats) -> Floats:
            with torch.inference_mode():
                return classify(torch.from_numpy(features)).numpy()

        return logits

    @cached_property
    def _opened(self) -> Opened:
        match self._spec:
            case Pretraining():
                return _open_pretrained(self._spec, self._store)
            case Published():
                from raystudy.zoo.published import open_published

                return open_published(self._spec)
            case Initialisation():
                backbone = build_backbone(self._spec.architecture, self._spec.seed).eval()
                seen = self._spec.architecture.preprocessing
                return Opened(backbone, seen, lambda prompts: None)


def extract(encoder: StoredEncoder, images: Examples, batch_size: int = 128) -> Examples:
    """The same examples with features (N, D) float32 in place of images (N, H, W, 3) uint8."""
    return replace(
        images, inputs=embed(encoder.frozen, images.inputs, encoder.preprocessing, batch_size)
    )


def _open_pretrained(spec: Pretraining, store: Store) -> Opened:
    classes = store.provenance("pretrainings", spec.key)["class_names"]
    objective = build_objective(spec, len(classes))
    folder = store.local("pretrainings", spec.key)
    objective.load_state_dict(load_file(folder / "objective.safetensors"))
    objective.eval()

    def classifier(prompts: Sequence[Sequence[str]]) -> Classifier | None:
        return spec.method.zero_shot(objective.parts, classes, prompts)

    return Opened(objective.backbone, spec.architecture.preprocessing, classifier)
