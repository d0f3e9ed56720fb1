"""What holds for every pre-training method."""

import pytest
import torch

from raystudy.backbone import Objective
from raystudy.kinds import Method

from .variants import example, variants

N, D, C = 8, 16, 5
METHODS = [example(c) for c in variants("methods")]


class Flat(torch.nn.Module):
    num_features = D

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3 * 4 * 4, D)

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        return self.linear(views.flatten(1))


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, N, 3, 4, 4, generator=generator)
    labels = torch.arange(N) % C
    return images, labels, [f"digit {i}, white on blue" for i in range(N)]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
class TestMethod:
    def test_loss_is_finite_and_reaches_every_weight(self, method: Method, batch) -> None:
        images, labels, captions = batch
        torch.manual_seed(0)
        objective = Objective(Flat(), method, C)
        metrics = objective(list(images[: method.num_views]), labels, captions)
        assert torch.isfinite(metrics["loss"])
        metrics["loss"].backward()
        for name, parameter in objective.named_parameters():
            assert parameter.grad is not None, name

    def test_a_few_steps_lower_the_loss(self, method: Method, batch) -> None:
        images, labels, captions = batch
        torch.manual_seed(0)
        objective = Objective(Flat(), method, C)
        optimiser = torch.optim.Adam(objective.parameters(), 0.01)
        losses = []
        for _ in range(30):
            loss = objective(list(images[: method.num_views]), labels, captions)["loss"]
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            losses.append(float(loss.detach()))
        assert losses[-1] < 0.8 * losses[0]

    def test_zero_shot_follows_names_not_positions(self, method: Method, batch) -> None:
        """Classes in another order give the same logits in that order."""
        torch.manual_seed(0)
        parts = Objective(Flat(), method, C).eval().parts
        names = [f"digit {w}" for w in ("zero", "one", "two", "three", "four")]
        features = torch.randn(N, D)
        order = [3, 1, 4, 0]
        prompts = [(n, f"a bold {n}") for n in names]
        straight = method.zero_shot(parts, names, prompts)
        shuffled = method.zero_shot(parts, names, [prompts[i] for i in order])
        if straight is None or shuffled is None:
            assert straight is shuffled is None
            return
        with torch.inference_mode():
            assert torch.allclose(straight(features)[:, order], shuffled(features), atol=1e-5)
