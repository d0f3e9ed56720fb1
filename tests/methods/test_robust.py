"""Noise-robust losses against loops in double precision, and at their limits."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from raystudy.methods.robust import GCE, SCE
from raystudy.methods.supervised import Supervised

N, C = 7, 5


@pytest.fixture
def logits() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(N, C, generator=generator, dtype=torch.float64)


@pytest.fixture(params=["hard", "soft"])
def targets(request: pytest.FixtureRequest) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    if request.param == "hard":
        return one_hot(torch.randint(C, (N,), generator=generator), C).double()
    return torch.rand(N, C, generator=generator, dtype=torch.float64).softmax(1)


def probabilities(logits: Tensor) -> list[list[float]]:
    rows = [[math.exp(x) for x in row] for row in logits.tolist()]
    return [[x / sum(row) for x in row] for row in rows]


@pytest.mark.parametrize("q", [0.1, 0.7, 1.0])
def test_gce_equals_a_loop(q: float, logits: Tensor, targets: Tensor) -> None:
    expected = 0.0
    for p, t in zip(probabilities(logits), targets.tolist(), strict=True):
        expected += sum(t[c] * (1 - p[c] ** q) / q for c in range(C)) / N
    assert float(GCE(q=q).loss(logits, targets)) == pytest.approx(expected, rel=1e-12)


def test_gce_tends_to_cross_entropy(logits: Tensor, targets: Tensor) -> None:
    expected = float(cross_entropy(logits, targets))
    assert float(GCE(q=1e-7).loss(logits, targets)) == pytest.approx(expected, rel=1e-5)


def test_gce_ends_at_half_the_absolute_error(logits: Tensor) -> None:
    targets = one_hot(torch.arange(N) % C, C).double()
    absolute = (logits.softmax(1) - targets).abs().sum(1).mean()
    assert float(GCE(q=1).loss(logits, targets)) == pytest.approx(float(absolute) / 2)


@pytest.mark.parametrize(("alpha", "beta"), [(0.1, 1.0), (6.0, 0.1), (0.0, 1.0)])
def test_sce_equals_a_loop(alpha: float, beta: float, logits: Tensor, targets: Tensor) -> None:
    expected = 0.0
    for p, t in zip(probabilities(logits), targets.tolist(), strict=True):
        forward = -sum(t[c] * math.log(p[c]) for c in range(C))
        reverse = -sum(p[c] * math.log(max(t[c], 1e-4)) for c in range(C))
        expected += (alpha * forward + beta * reverse) / N
    found = SCE(alpha=alpha, beta=beta).loss(logits, targets)
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_sce_without_its_reverse_is_cross_entropy(logits: Tensor, targets: Tensor) -> None:
    found = SCE(alpha=1, beta=0).loss(logits, targets)
    assert float(found) == pytest.approx(float(cross_entropy(logits, targets)), rel=1e-12)


@pytest.mark.parametrize("robust", [GCE(), GCE(q=1), SCE()], ids=lambda r: r.name)
def test_gradients_stay_finite_where_the_model_is_certain(robust: GCE | SCE) -> None:
    logits = torch.tensor([[300.0, -300.0], [-300.0, 300.0]], requires_grad=True)
    robust.loss(logits, one_hot(torch.zeros(2, dtype=torch.long), 2).float()).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("robust", [GCE(), SCE()], ids=lambda r: r.name)
def test_robust_losses_pull_less_at_a_wrong_label(robust: GCE | SCE) -> None:
    """What makes them robust: of a certain model, a contradicting label moves the logits less than
    cross-entropy would."""
    label, size = torch.tensor([1]), {}
    for name, method in {"plain": Supervised(), "robust": Supervised(robust=robust)}.items():
        logits = torch.tensor([[6.0, -6.0, 0.0]], requires_grad=True)
        method.loss(nn.ModuleDict({"head": nn.Identity()}), [logits], label, [])["loss"].backward()
        assert logits.grad is not None
        size[name] = float(logits.grad.norm())
    assert size["robust"] < 0.5 * size["plain"]


def test_smoothed_targets_are_those_of_cross_entropy() -> None:
    parts, x, y = nn.ModuleDict({"head": nn.Identity()}), torch.randn(N, C), torch.arange(N) % C
    robust = Supervised(label_smoothing=0.1, robust=SCE(alpha=1, beta=0))
    plain = cross_entropy(x, y, label_smoothing=0.1)
    assert float(robust.loss(parts, [x], y, [])["loss"]) == pytest.approx(float(plain), rel=1e-5)


def test_a_robust_loss_is_part_of_the_identity() -> None:
    methods = [Supervised(), *(Supervised(robust=r) for r in (GCE(), GCE(q=0.5), SCE()))]
    assert len({m.key for m in methods}) == len({m.name for m in methods}) == 4
    assert Supervised(**methods[3].model_dump()) == methods[3]
    with pytest.raises(ValidationError):
        GCE(q=0)
