"""What holds for every pre-training method."""

import pytest
import torch

from raystudy.backbone import Objective, build_backbone
from raystudy.decoder import Decoder
from raystudy.kinds import Method
from raystudy.methods.clip import CLIP
from raystudy.methods.robust import GCE, SCE
from raystudy.methods.simclr import SimCLR
from raystudy.methods.supervised import Supervised

from .variants import example, variants

N, D, C = 8, 16, 5
TINY = Decoder(num_layers=1, width=16, num_heads=2, context=6, vocabulary=20)
METHODS = [
    *(example(c) for c in variants("methods")),
    Supervised(robust=GCE()),
    Supervised(robust=SCE(), label_smoothing=0.1),
    Supervised(mixup_alpha=0.2, cutmix_alpha=1.0),
    CLIP(contrast="local"),
    CLIP(contrast="siglip"),
    SimCLR(projector_layers=3),
]


class Flat(torch.nn.Module):
    num_features = D

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3 * 4 * 4, D)

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        return self.linear(views.flatten(1))


def backbone(method: Method) -> torch.nn.Module:
    return build_backbone(TINY, 0) if method.modality == "tokens" else Flat()


@pytest.fixture
def batch(method: Method) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    generator = torch.Generator().manual_seed(0)
    captions = [f"digit {i}, white on blue" for i in range(N)]
    if method.modality == "tokens":
        tokens = torch.randint(TINY.vocabulary, (N, TINY.context + 1), generator=generator)
        return tokens[None, :, :-1], tokens[:, 1:], captions
    images = torch.randn(2, N, 3, 4, 4, generator=generator)
    return images, torch.arange(N) % C, captions


@pytest.mark.parametrize("method", METHODS, ids=lambda m: f"{m.name}-{m.key[:4]}")
class TestMethod:
    def test_mixes_if_it_says_so(self, method: Method, batch) -> None:
        images, labels, _ = batch
        view, targets = method.mix(images[0], labels, C, torch.Generator().manual_seed(1))
        if not method.mixes:
            assert torch.equal(view, images[0])
            assert targets is labels
            return
        assert view.shape == images[0].shape
        assert not torch.equal(view, images[0])
        assert targets.shape == (N, C)
        assert torch.allclose(targets.sum(1), torch.ones(N))

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_autocast_leaves_the_loss_in_single_precision(
        self, method: Method, dtype: torch.dtype, batch
    ) -> None:
        images, labels, captions = batch
        torch.manual_seed(0)
        objective = Objective(backbone(method), method, C)
        images = list(images[: method.num_views])
        plain = objective(images, labels, captions)["loss"].detach()
        with torch.autocast("cpu", dtype):
            loss = objective(images, labels, captions)["loss"]
        loss.backward()
        assert loss.dtype == torch.float32
        assert float(loss.detach()) == pytest.approx(float(plain), rel=0.05)
        assert all(
            torch.isfinite(p.grad).all() for p in objective.parameters() if p.grad is not None
        )

    def test_loss_is_finite_and_reaches_every_weight(self, method: Method, batch) -> None:
        images, labels, captions = batch
        torch.manual_seed(0)
        objective = Objective(backbone(method), method, C)
        metrics = objective(list(images[: method.num_views]), labels, captions)
        assert torch.isfinite(metrics["loss"])
        metrics["loss"].backward()
        for name, parameter in objective.named_parameters():
            assert parameter.grad is not None, name

    def test_a_few_steps_lower_the_loss(self, method: Method, batch) -> None:
        images, labels, captions = batch
        torch.manual_seed(0)
        objective = Objective(backbone(method), method, C)
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
        parts = Objective(backbone(method), method, C).eval().parts
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
