"""Mixup and CutMix against timm's, with the same draws."""

import numpy as np
import pytest
import torch
from scipy.special import betainc
from scipy.stats import kstest
from timm.data.mixup import Mixup
from torch import Tensor
from torch.nn.functional import cross_entropy

from raystudy.methods.mixing import mix
from raystudy.methods.supervised import Supervised

C, S = 5, 12
LABELS = torch.tensor([0, 1, 2, 3, 4, 0])


@pytest.fixture
def view() -> Tensor:
    view = torch.randn(6, 3, S, S, generator=torch.Generator().manual_seed(0))
    return view.contiguous(memory_format=torch.channels_last)


def draws(weight: float, alpha: float, x: float = 0.0, y: float = 0.0, choice: float = 0) -> Tensor:
    """Numbers in [0, 1) of which ``weight`` becomes the weight."""
    return torch.tensor([choice, betainc(alpha, alpha, weight), x, y], dtype=torch.float64)


@pytest.mark.parametrize("weight", [0.1, 0.5, 0.93])
def test_mixup_equals_timm(weight: float, view: Tensor) -> None:
    timm = Mixup(mixup_alpha=0.3, label_smoothing=0, num_classes=C)
    timm._params_per_batch = lambda: (weight, False)
    expected, targets = timm(view.clone(), LABELS)
    found = mix(view, LABELS, C, (0.3, 0.0), draws(weight, 0.3))
    assert torch.allclose(found[0], expected, atol=1e-6)
    assert torch.allclose(found[1], targets, atol=1e-6)


@pytest.mark.parametrize("weight", [0.0, 0.2, 0.4, 0.7, 1.0])
@pytest.mark.parametrize(("x", "y"), [(0, 0), (5, 6), (11, 2)])
def test_cutmix_equals_timm(
    weight: float, x: int, y: int, view: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    timm = Mixup(mixup_alpha=0, cutmix_alpha=1.0, label_smoothing=0, num_classes=C)
    timm._params_per_batch = lambda: (weight, True)
    centre = iter([y, x])
    monkeypatch.setattr(np.random, "randint", lambda *_, **__: next(centre))
    expected, targets = timm(view.clone(), LABELS)
    of_centre = (x + 0.5) / S, (y + 0.5) / S
    found = mix(view, LABELS, C, (0.0, 1.0), draws(weight, 1.0, *of_centre))
    assert torch.equal(found[0], expected)
    assert torch.allclose(found[1], targets.to(found[1]), atol=1e-6)


def test_the_box_weighs_what_it_covers() -> None:
    """Each target holds the share of pixels that come from an image of its class."""
    view = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, S, S).contiguous()
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        mixed, targets = Supervised(cutmix_alpha=1.0).mix(view, torch.arange(4), 4, generator)
        for c in range(4):
            covered = (mixed == c).float().mean((1, 2, 3))
            assert torch.allclose(targets[:, c], covered, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_weights_follow_the_beta_distribution(alpha: float) -> None:
    view, generator = torch.zeros(2, 3, 1, 1), torch.Generator().manual_seed(0)
    method = Supervised(mixup_alpha=alpha)
    weights = [float(method.mix(view, torch.arange(2), 2, generator)[1][0, 0]) for _ in range(1000)]
    assert kstest(weights, lambda w: betainc(alpha, alpha, w)).pvalue > 0.01


def test_with_both_on_each_chunk_gets_one_of_them() -> None:
    view, generator = torch.arange(2.0).view(2, 1, 1, 1).expand(2, 3, 8, 8), torch.Generator()
    method = Supervised(mixup_alpha=1.0, cutmix_alpha=1.0)
    mixups = 0
    for seed in range(400):
        mixed, _ = method.mix(view, torch.arange(2), 2, generator.manual_seed(seed))
        mixups += bool(((mixed > 0) & (mixed < 1)).any())
    assert 160 < mixups < 240


def test_targets_are_probabilities_and_the_input_is_left_alone(view: Tensor) -> None:
    before, method = view.clone(), Supervised(mixup_alpha=0.2, cutmix_alpha=1.0)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        mixed, targets = method.mix(view, LABELS, C, generator)
        assert mixed.shape == view.shape
        assert mixed.is_contiguous(memory_format=torch.channels_last)
        assert torch.allclose(targets.sum(1), torch.ones(6))
        assert (targets >= 0).all()
    assert torch.equal(view, before)


def test_a_chunk_is_mixed_alike_wherever_it_is(view: Tensor) -> None:
    method = Supervised(mixup_alpha=0.2, cutmix_alpha=1.0)
    once, again = (
        method.mix(view, LABELS, C, torch.Generator().manual_seed(seed)) for seed in (7, 7)
    )
    other = method.mix(view, LABELS, C, torch.Generator().manual_seed(8))
    assert torch.equal(once[0], again[0])
    assert torch.equal(once[1], again[1])
    assert not torch.equal(once[0], other[0])


def test_the_loss_of_mixed_targets_is_the_mixed_loss() -> None:
    """Cross-entropy is linear in its target."""
    parts = torch.nn.ModuleDict({"head": torch.nn.Identity()})
    logits, a, b = torch.randn(6, C), LABELS, LABELS.flip(0)
    _, targets = mix(torch.zeros(6, 3, 1, 1), LABELS, C, (1.0, 0.0), draws(0.3, 1.0))
    metrics = Supervised(label_smoothing=0.1).loss(parts, [logits], targets, [])
    apart = [cross_entropy(logits, y, label_smoothing=0.1) for y in (a, b)]
    assert float(metrics["loss"]) == pytest.approx(float(0.3 * apart[0] + 0.7 * apart[1]), rel=1e-5)
