"""Losses against independent implementations."""

from typing import Any

import numpy as np
import pytest
import torch
from open_clip.loss import ClipLoss
from sklearn.metrics import log_loss
from torch.nn.functional import normalize

from raystudy.backbone import Objective
from raystudy.methods.clip import CLIP
from raystudy.methods.simclr import SimCLR, nt_xent
from raystudy.methods.supervised import Supervised


class Passthrough(torch.nn.Module):
    num_features = 6

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        return views


class Fixed(torch.nn.Module):
    """A text tower that says the same whatever it is given."""

    def __init__(self, text: torch.Tensor) -> None:
        super().__init__()
        self.text = text

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.text


def loop_nt_xent(a: np.ndarray, b: np.ndarray, temperature: float) -> float:
    """Eq. 1 of the paper in float64, pair by pair."""
    z = np.concatenate([a, b]).astype(np.float64)
    n, losses = len(a), []
    for i in range(2 * n):
        j = (i + n) % (2 * n)
        scores = [z[i] @ z[k] / temperature for k in range(2 * n) if k != i]
        losses.append(-z[i] @ z[j] / temperature + np.log(np.sum(np.exp(scores))))
    return float(np.mean(losses))


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
def test_nt_xent_equals_a_loop(temperature: float) -> None:
    a, b = (normalize(torch.randn(7, 5, dtype=torch.float64)) for _ in range(2))
    loss, accuracy = nt_xent(a, b, temperature)
    assert float(loss) == pytest.approx(loop_nt_xent(a.numpy(), b.numpy(), temperature), rel=1e-10)
    assert 0 <= float(accuracy) <= 1


def test_supervised_equals_scikit_learn() -> None:
    torch.manual_seed(0)
    objective = Objective(Passthrough(), Supervised(), 4)
    x, y = torch.randn(9, 6), torch.arange(9) % 4
    metrics = objective([x], y, [])
    probabilities = objective.parts["head"](x).softmax(1).detach().numpy().astype(np.float64)
    assert float(metrics["loss"]) == pytest.approx(log_loss(y, probabilities), rel=1e-5)


def test_clip_equals_open_clip() -> None:
    torch.manual_seed(0)
    objective = Objective(Passthrough(), CLIP(), 4)
    captions = ["a", "bold greek small letter alpha, white on blue", "arrow", "digit seven"]
    x = torch.randn(4, 6)
    metrics = objective([x], torch.zeros(4, dtype=torch.long), captions)
    from open_clip import SimpleTokenizer

    text = normalize(objective.parts["text"](SimpleTokenizer(context_length=24)(captions)))
    image = normalize(objective.parts["image_projection"](x))
    expected = ClipLoss()(image, text, torch.tensor(1 / 0.07))
    assert float(metrics["loss"]) == pytest.approx(float(expected), rel=1e-5)
    assert float(metrics["logit_scale"]) == pytest.approx(1 / 0.07, rel=1e-5)


@pytest.mark.parametrize("contrast", ["global", "siglip", "nt_xent"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_does_not_touch_the_scores(contrast: Any, dtype: torch.dtype) -> None:
    """Of the same embeddings, the loss is the same to the last bit."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 16, 64, generator=generator)
    if contrast == "nt_xent":
        method, parts = SimCLR(), {"projector": torch.nn.Identity()}
    else:
        method = CLIP(contrast=contrast, projects_images=False)
        parts = {**method.parts(64, 0), "text": Fixed(b)}
    modules = torch.nn.ModuleDict(parts)

    def loss() -> torch.Tensor:
        return method.loss(modules, [a, b][: method.num_views], torch.zeros(0), ["a"] * 16)["loss"]

    plain = loss()
    with torch.autocast("cpu", dtype):
        assert torch.equal(loss(), plain)


@pytest.mark.parametrize(("layers", "widths"), [(2, [6, 32, 8]), (3, [6, 32, 32, 8])])
def test_the_projector_is_as_deep_as_asked(layers: Any, widths: list[int]) -> None:
    """Batch norm and ReLU between layers, neither after the last."""
    method = SimCLR(projector_layers=layers, projector_hidden=32, projector_width=8)
    modules = list(method.parts(6, 0)["projector"].children())
    linear = [m for m in modules if isinstance(m, torch.nn.Linear)]
    assert [linear[0].in_features, *(m.out_features for m in linear)] == widths
    kinds = ["Linear", "BatchNorm1d", "ReLU"] * (layers - 1) + ["Linear"]
    assert [type(m).__name__ for m in modules] == kinds
