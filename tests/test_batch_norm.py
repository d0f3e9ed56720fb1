"""Batch norm over several workers is torch's own batch norm of all their examples together."""

from collections.abc import Sequence

import pytest
import timm
import torch
import torch.distributed as dist
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn

from raystudy.batch_norm import over_workers

from .group import RankError, run_group

SHAPES = {1: (5,), 2: (5, 3, 4), 3: (5, 2, 3, 2)}
"""Channels and what lies behind them, by the number in the norm's name."""


def build(kind: str) -> nn.Module:
    """A norm of 5 channels in double precision, with weights that are not all the same."""
    norms = {
        "1d": lambda: nn.BatchNorm1d(5),
        "2d": lambda: nn.BatchNorm2d(5),
        "3d": lambda: nn.BatchNorm3d(5),
        "plain": lambda: nn.BatchNorm2d(5, affine=False),
        "cumulative": lambda: nn.BatchNorm2d(5, momentum=None),
        "untracked": lambda: nn.BatchNorm2d(5, track_running_stats=False),
        "activated": lambda: BatchNormAct2d(5, act_layer=nn.SiLU, drop_layer=nn.Identity),
    }
    norm = norms[kind]()
    with torch.no_grad():
        for i, parameter in enumerate(norm.parameters()):
            parameter.copy_(torch.linspace(-1.5, 2, 5) + i)
    return nn.Sequential(norm)


def examples(kind: str, count: int, dtype: torch.dtype, offset: float) -> Tensor:
    shape = SHAPES[int(kind[0]) if kind[0].isdigit() else 2]
    generator = torch.Generator().manual_seed(0)
    scales = torch.logspace(-1, 1, 5).reshape(-1, *[1] * (len(shape) - 1))
    x = torch.randn(2, count, *shape, generator=generator) * scales + offset
    return x.to(dtype)


def train(model: nn.Module, batches: Tensor) -> dict[str, Tensor]:
    """Two batches, forward and backward; all that comes of it."""
    model.train()
    found: dict[str, Tensor] = {}
    for i, batch in enumerate(batches):
        x = batch.clone().requires_grad_()
        y = model(x)
        # A gradient with a part along everything that batch norm takes out.
        (y * (y + y.detach().cos() + 0.5)).sum().backward()
        assert x.grad is not None
        found |= {f"output{i}": y.detach(), f"input_grad{i}": x.grad}
    grads = {f"grad/{name}": p.grad for name, p in model.named_parameters() if p.grad is not None}
    return found | grads | {f"state/{k}": v for k, v in model.state_dict().items()}


def share(
    rank: int, kind: str, counts: Sequence[int], dtype: torch.dtype, offset: float
) -> dict[str, Tensor]:
    model = over_workers(build(kind).to(dtype))
    batches = examples(kind, sum(counts), dtype, offset).split(list(counts), dim=1)
    found = train(model, batches[rank])
    for name, value in found.items():
        if name.startswith("grad/"):
            dist.all_reduce(value)
    model.eval()
    return found | {"evaluated": model(batches[rank][0]).detach()}


def alone(kind: str, counts: Sequence[int], dtype: torch.dtype, offset: float) -> dict[str, Tensor]:
    """What torch's own norm makes of the examples of all workers."""
    model = build(kind).to(dtype)
    batches = examples(kind, sum(counts), dtype, offset)
    found = train(model, batches)
    model.eval()
    return found | ({} if kind == "untracked" else {"evaluated": model(batches[0]).detach()})


def together(
    kind: str, counts: Sequence[int], dtype: torch.dtype, offset: float
) -> dict[str, Tensor]:
    """What the workers make of them, joined."""
    ranks = run_group(len(counts), share, kind, counts, dtype, offset)
    joined = {}
    for name, value in ranks[0].items():
        if name.startswith(("grad/", "state/")):
            assert all(torch.equal(found[name], value) for found in ranks), name
            joined[name] = value
        else:
            joined[name] = torch.cat([found[name] for found in ranks])
    return joined


def errors(found: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, float]:
    """The largest error of each tensor, relative to its largest value; where that is as good as
    nothing (a bias that the next norm takes out has no gradient), to a millionth of its kind's."""
    assert found.keys() >= expected.keys()
    sizes = {name: float(value.abs().max()) for name, value in expected.items()}
    kinds = {name: name.split("/")[0].rstrip("01") for name in expected}
    floors = {k: 1e-6 * max(sizes[n] for n in sizes if kinds[n] == k) for k in kinds.values()}
    return {
        name: float((found[name] - value).abs().max()) / max(sizes[name], floors[kinds[name]])
        for name, value in expected.items()
    }


@pytest.mark.parametrize(
    "kind", ["1d", "2d", "3d", "plain", "cumulative", "untracked", "activated"]
)
def test_two_workers_are_one(kind: str) -> None:
    case = (kind, [6, 6], torch.float64, 0.0)
    found = errors(together(*case), alone(*case))
    assert max(found.values()) < 1e-13, found


@pytest.mark.parametrize("counts", [[3, 3, 3, 3], [1, 7], [5, 1, 4, 2]], ids=str)
def test_whatever_their_shares(counts: list[int]) -> None:
    case = ("activated", counts, torch.float64, 0.0)
    found = errors(together(*case), alone(*case))
    assert max(found.values()) < 1e-13, found


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_single_precision_is_no_worse_than_with_one_worker(offset: float) -> None:
    """Also where the mean is a thousand deviations away, so that sums of squares would cancel."""
    counts = [5, 1, 4, 2]
    exact = alone("2d", counts, torch.float64, offset)
    one = errors(alone("2d", counts, torch.float32, offset), exact)
    several = errors(together("2d", counts, torch.float32, offset), exact)
    for name, error in several.items():
        assert error < 3 * one[name] + 1e-6, (name, error, one[name])


NETWORKS = [
    ("resnet18", {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}, nn.BatchNorm2d),
    ("tinynet_e", {}, BatchNormAct2d),
]


def network(name: str, args: dict) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=0, **args).double()


def images() -> Tensor:
    return torch.randn(2, 8, 3, 32, 32, generator=torch.Generator().manual_seed(0)).double()


def train_network(rank: int, name: str, args: dict, kind: type[nn.Module]) -> dict[str, Tensor]:
    model = network(name, args)
    keys, tensors = list(model.state_dict()), set(map(id, model.parameters()))
    assert any(type(m) is kind for m in model.modules())
    assert over_workers(model) is model
    assert not any(type(m) is kind for m in model.modules())
    assert list(model.state_dict()) == keys
    assert set(map(id, model.parameters())) == tensors
    found = train(model, images().chunk(dist.get_world_size(), dim=1)[rank])
    for key, value in found.items():
        if key.startswith("grad/"):
            dist.all_reduce(value)
    return found


@pytest.mark.parametrize(("name", "args", "kind"), NETWORKS, ids=[n[0] for n in NETWORKS])
def test_timm_networks_train_as_one(name: str, args: dict, kind: type[nn.Module]) -> None:
    expected = train(network(name, args), images())
    ranks = run_group(2, train_network, name, args, kind)
    joined = {
        key: torch.cat([r[key] for r in ranks]) if key.startswith(("out", "in")) else ranks[0][key]
        for key in expected
    }
    found = errors(joined, expected)
    assert max(found.values()) < 1e-9, found


def stays_what_it_was(rank: int) -> bool:
    model = build("activated")
    parts = list(model.modules())
    return over_workers(model) is model and list(model.modules()) == parts


def test_one_worker_stays_what_it_was() -> None:
    assert stays_what_it_was(0)
    assert run_group(1, stays_what_it_was) == [True]


class OwnNorm(nn.BatchNorm2d):
    """Might compute anything."""


def convert_unknown(rank: int) -> None:
    over_workers(nn.Sequential(nn.Sequential(OwnNorm(3))))


def test_a_norm_nobody_knows_is_refused() -> None:
    with pytest.raises(RankError, match=r"OwnNorm '0\.0' has statistics"):
        run_group(2, convert_unknown)


def half_precision(rank: int) -> dict[str, Tensor]:
    model = over_workers(build("2d"))
    (batch, _) = examples("2d", 16, torch.float32, 3.0).chunk(2, dim=1)[rank].bfloat16()
    y = model(batch.requires_grad_())
    y.sum().backward()
    assert y.dtype == torch.bfloat16
    assert batch.grad is not None
    assert batch.grad.dtype == torch.bfloat16
    return {"output": y.detach(), **model.state_dict()}


def test_half_precision_has_single_precision_statistics() -> None:
    ranks = run_group(2, half_precision)
    model = build("2d").train()
    y = model(examples("2d", 16, torch.float32, 3.0)[0].bfloat16().float())
    assert torch.allclose(torch.cat([r["output"] for r in ranks]).float(), y, rtol=0.01, atol=0.02)
    for name, value in model.state_dict().items():
        assert torch.allclose(ranks[1][name], value, rtol=1e-5), name
