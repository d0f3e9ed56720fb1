"""What the tests of fine-tuning share: a tiny backbone and a flat one."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from raystudy.kinds import Encoder
from raystudy.spec import Architecture, Preprocessing
from raystudy.tasks.digits import Digits
from raystudy.views import evaluation_view

SHRUNK: dict[str, Any] = {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}
TINY = Architecture(
    name="resnet18",
    args=SHRUNK,
    preprocessing=Preprocessing(image_size=16, grayscale=True, standardise="image"),
)
SEEN = TINY.preprocessing
PROMPTS = Digits().prompts()


class Flat(Encoder):
    """Pixels through one linear layer, and a classifier by name of any kind."""

    def __init__(self, classifier: nn.Module | None) -> None:
        torch.manual_seed(0)
        self._module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 6))
        self._module.num_features = 6  # pyright: ignore[reportArgumentType]
        self._classifier = classifier

    @property
    def preprocessing(self) -> Preprocessing:
        return SEEN

    @property
    def module(self) -> nn.Module:
        return copy.deepcopy(self._module)

    def groups(self, taps: int) -> Mapping[str, int]:
        return {"pixels": 6}

    def zero_shot(self, prompts: Sequence[Sequence[str]]) -> nn.Module | None:
        return self._classifier

    def features(self, images: np.ndarray) -> Tensor:
        with torch.no_grad():
            return self._module(evaluation_view(torch.from_numpy(images), SEEN))


def logits_of(model: nn.Module, images: np.ndarray) -> Tensor:
    model.eval()
    with torch.no_grad():
        return model(evaluation_view(torch.from_numpy(images), SEEN))
