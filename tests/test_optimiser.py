"""Optimisers, schedules and the moving average against their definitions."""

import copy
import math

import pytest
import torch
from timm.optim._optim_factory import create_optimizer_v2
from torch import nn

from raystudy.optimiser import Average, build_optimiser, scheduled_rate, set_rate
from raystudy.spec import Optimisation


def network() -> nn.Module:
    torch.manual_seed(0)
    # A bias before batch norm has a gradient of rounding only, which Adam would make steps of.
    return nn.Sequential(nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def descend(model: nn.Module, optimiser: torch.optim.Optimizer, steps: int = 8) -> list:
    inputs = torch.randn(16, 6, generator=torch.Generator().manual_seed(1))
    for _ in range(steps):
        model(inputs).square().mean().backward()
        optimiser.step()
        optimiser.zero_grad()
    return [p.detach() for p in model.parameters()]


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
def test_vectors_are_not_decayed_and_matrices_are_as_timm_does_it(name: str) -> None:
    ours, theirs = network(), network()
    o = Optimisation(optimiser=name, learning_rate=0.05, weight_decay=0.1)  # pyright: ignore[reportArgumentType]
    optimiser = build_optimiser(ours, o)
    set_rate(optimiser, o.learning_rate)
    found = descend(ours, optimiser)
    peer = create_optimizer_v2(
        theirs, name if name != "sgd" else "momentum", lr=0.05, weight_decay=0.1, momentum=0.9
    )
    for a, b in zip(found, descend(theirs, peer), strict=True):
        torch.testing.assert_close(a, b, rtol=2e-5, atol=1e-6)


def test_the_cosine_warms_up_and_ends_near_zero() -> None:
    optimisation = Optimisation(learning_rate=1.0, warmup_fraction=0.2)
    rates = [scheduled_rate(s, 50, optimisation) for s in range(50)]
    assert rates.index(max(rates)) == 10
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.01


def test_warm_up_stable_decay() -> None:
    o = Optimisation(learning_rate=2.0, schedule="wsd", warmup_steps=4, decay_fraction=0.25)
    rates = [scheduled_rate(s, 100, o) for s in range(100)]
    assert rates[:4] == pytest.approx([0.4, 0.8, 1.2, 1.6])
    assert set(rates[4:76]) == {2.0}
    decayed = [2.0 * (1 - math.sqrt(i / 25)) for i in range(25)]
    assert rates[75:] == pytest.approx(decayed)


def test_the_average_is_that_of_a_plain_loop() -> None:
    model = network()
    expected = [p.detach().clone() for p in model.parameters()]
    average = Average(model, 0.9)
    optimiser = build_optimiser(model, Optimisation(learning_rate=0.1))
    for _ in range(5):
        descend(model, optimiser, 1)
        average.update()
        expected = [0.9 * e + 0.1 * p.detach() for e, p in zip(expected, model.parameters())]  # noqa: B905
    live = copy.deepcopy(list(model.parameters()))
    average.swap()
    for e, p in zip(expected, model.parameters(), strict=True):
        torch.testing.assert_close(p.detach(), e)
    average.swap()
    assert all(torch.equal(a, b) for a, b in zip(live, model.parameters(), strict=True))
