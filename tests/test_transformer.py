"""The decoder against an independent one: explicit attention matrices, one position at a time."""

import math

import pytest
import torch
from torch import Tensor, nn

from raystudy.backbone import Objective, build_backbone
from raystudy.cost import cost
from raystudy.decoder import Decoder
from raystudy.methods.next_token import NextToken
from raystudy.sources.text import Text
from raystudy.spec import Pretraining

SPEC = Decoder(num_layers=2, width=24, num_heads=3, context=10, vocabulary=31)


def norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight + bias


def by_hand(w: dict[str, Tensor], tokens: Tensor, num_layers: int, num_heads: int) -> Tensor:
    """Mean loss of a context of T + 1 tokens, written from the definition."""
    losses = []
    for row in tokens:
        T = len(row) - 1
        x = torch.stack([w["tokens.weight"][row[t]] + w["positions.weight"][t] for t in range(T)])
        for layer in range(num_layers):
            block = {k.removeprefix(f"blocks.{layer}."): v for k, v in w.items()}
            a = norm(x, block["attention_norm.weight"], block["attention_norm.bias"])
            D = x.shape[1]
            q, k, v = (a @ block["attention.qkv.weight"][i * D : (i + 1) * D].T for i in range(3))
            E = D // num_heads
            heads = []
            for h in range(num_heads):
                at = slice(h * E, (h + 1) * E)
                mixed = []
                for t in range(T):
                    scores = torch.stack([q[t, at] @ k[s, at] / math.sqrt(E) for s in range(t + 1)])
                    shares = scores.exp() / scores.exp().sum()
                    mixed.append(sum(shares[s] * v[s, at] for s in range(t + 1)))
                heads.append(torch.stack(mixed))  # pyright: ignore[reportArgumentType]
            x = x + torch.cat(heads, 1) @ block["attention.out.weight"].T
            m = norm(x, block["mlp_norm.weight"], block["mlp_norm.bias"])
            m = m @ block["mlp_in.weight"].T
            m = m * 0.5 * (1 + torch.erf(m / math.sqrt(2)))
            x = x + m @ block["mlp_out.weight"].T
        logits = norm(x, w["norm.weight"], w["norm.bias"]) @ w["tokens.weight"].T
        for t in range(T):
            losses.append(torch.logsumexp(logits[t], 0) - logits[t, row[t + 1]])
    return torch.stack(losses).mean()


def test_loss_and_gradients_are_those_of_the_definition() -> None:
    backbone = build_backbone(SPEC, 3).double()
    with torch.no_grad():  # away from the small values at the beginning
        for p in backbone.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    objective = Objective(backbone, NextToken(), 1)
    tokens = torch.randint(31, (4, 11), generator=torch.Generator().manual_seed(0))
    loss = objective([tokens[:, :-1]], tokens[:, 1:], [""] * 4)["loss"]
    loss.backward()

    weights = {n: p.detach().clone().requires_grad_() for n, p in backbone.named_parameters()}
    expected = by_hand(weights, tokens, SPEC.num_layers, SPEC.num_heads)
    expected.backward()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    for name, parameter in backbone.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, weights[name].grad, rtol=1e-6, atol=1e-7)


def test_no_token_is_seen_before_its_turn() -> None:
    backbone = build_backbone(SPEC, 0)
    tokens = torch.randint(31, (2, 10), generator=torch.Generator().manual_seed(0))
    other = tokens.clone()
    other[:, 6:] = (other[:, 6:] + 1) % 31
    a, b = backbone(tokens), backbone(other)
    torch.testing.assert_close(a[:, :6], b[:, :6])
    assert (a[:, 6:] - b[:, 6:]).abs().max() > 1e-4


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("width", [32, 96])
def test_parameters_and_operations_are_as_counted(layers: int, width: int) -> None:
    spec = Decoder(num_layers=layers, width=width, num_heads=2)
    module = build_backbone(spec, 0)
    embeddings = sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Embedding))
    every = sum(p.numel() for p in module.parameters())
    assert spec.num_parameters == every - embeddings
    run = Pretraining(method=NextToken(), architecture=spec, source=Text(corpus="cpp"), size=64)
    counted = cost(run)
    assert counted.num_parameters == every
    assert counted.flops_per_sample == pytest.approx(spec.guessed_flops, rel=1e-6)
    # Six operations for each parameter and token (Kaplan et al. 2020) is most of it.
    matrices = spec.num_parameters - 4 * width * layers - 2 * width
    assert 6 * matrices * spec.context < counted.flops_per_sample


def test_the_beginning_is_a_function_of_the_seed_and_near_uniform() -> None:
    one, two = (build_backbone(SPEC, 1).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    other = build_backbone(SPEC, 2).state_dict()
    assert not torch.equal(one["tokens.weight"], other["tokens.weight"])
    tokens = torch.randint(31, (64, 11), generator=torch.Generator().manual_seed(0))
    objective = Objective(build_backbone(SPEC, 0), NextToken(), 1)
    loss = float(objective([tokens[:, :-1]], tokens[:, 1:], [""] * 64)["loss"].detach())
    assert loss == pytest.approx(math.log(31), abs=0.05)


def test_sizes_are_named_by_parameters_without_embeddings() -> None:
    assert Decoder(num_layers=2, width=64).title == "decoder 98.9k"
    assert Decoder(num_layers=2, width=64, vocabulary=9000).title == "decoder 98.9k"
    assert Decoder(num_layers=12, width=768, num_heads=12).title == "decoder 85M"
    assert Decoder(label="small").title == "small"
    assert Decoder(label="small").key == Decoder().key
    with pytest.raises(ValueError, match="not a multiple of num_heads"):
        Decoder(width=30, num_heads=4)
