"""Losses against independent implementations."""

import numpy as np
import pytest
import torch
from open_clip.loss import ClipLoss
from sklearn.metrics import log_loss
from torch.nn.functional import normalize

from raystudy.backbone import Objective
from raystudy.methods.clip import CLIP
from raystudy.methods.simclr import nt_xent
from raystudy.methods.supervised import Supervised


class Passthrough(torch.nn.Module):
    num_features = 6

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        return views


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
