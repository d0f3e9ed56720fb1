"""Contrastive losses over several workers equal those of the whole batch in one process: the value,
and the gradients as data-parallel training averages them."""

import copy
from typing import Any

import pytest
import torch
import torch.distributed as dist
from open_clip import SimpleTokenizer
from open_clip.loss import ClipLoss
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, normalize

from raystudy.methods.clip import CLIP
from raystudy.methods.simclr import SimCLR, nt_xent

from ..group import run_group

N, D = 8, 16
NUM_PAIRED = 5
"""Rows whose other half is the nearest; the rest meet theirs by chance."""
CAPTIONS = [f"{word} on a {word} ground, {i}" for i, word in enumerate("abcdefgh")]
TOKENS = SimpleTokenizer(context_length=24)(CAPTIONS)
CONTRASTS = ("global", "local", "siglip")
Result = dict[str, Tensor]


def clip_parts(contrast: Any) -> tuple[CLIP, nn.ModuleDict]:
    torch.manual_seed(0)
    method = CLIP(contrast=contrast, embed_dim=16, text_width=16, text_layers=1)
    return method, nn.ModuleDict(method.parts(D, 0))


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def whole_features(parts: nn.ModuleDict) -> Tensor:
    """Of the whole batch (N, D): the first are projected onto their captions."""
    weight: Any = parts["image_projection"].weight
    with torch.no_grad():
        paired = parts["text"](TOKENS) @ torch.linalg.pinv(weight).T
    return torch.cat([paired[:NUM_PAIRED], noise(N, D)[NUM_PAIRED:]])


def whole_views() -> Tensor:
    """Of the whole batch (2, N, D): the first are close to their other view."""
    views = noise(2, N, D)
    views[1, :NUM_PAIRED] = views[0, :NUM_PAIRED] + 0.1 * views[1, :NUM_PAIRED]
    return views


def share(rank: int, world_size: int) -> dict[str, Result]:
    """Every loss on this rank's rows of the batch, with averaged gradients."""
    here = slice(rank * N // world_size, (rank + 1) * N // world_size)
    results = {}
    for contrast in CONTRASTS:
        method, parts = clip_parts(contrast)
        features = whole_features(parts)[here].requires_grad_()
        metrics = method.loss(parts, [features], torch.zeros(0), CAPTIONS[here])
        metrics["loss"].backward()
        results[contrast] = averaged(metrics | gradients(parts), world_size)
        results[contrast]["features"] = gradient(features) / world_size
    views = whole_views()[:, here].requires_grad_()
    loss, accuracy = nt_xent(*normalize(views, dim=2), temperature=0.2)
    loss.backward()
    results["nt_xent"] = averaged({"loss": loss.detach(), "accuracy": accuracy}, world_size)
    results["nt_xent"]["views"] = gradient(views) / world_size
    return results


def averaged(values: Result, world_size: int) -> Result:
    values = {name: value.detach().clone() for name, value in values.items()}
    if dist.is_initialized():
        for value in values.values():
            dist.all_reduce(value)
    return {name: value / world_size for name, value in values.items()}


def gradients(parts: nn.Module) -> Result:
    return {name: gradient(p) for name, p in parts.named_parameters()}


def gradient(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad


@pytest.fixture(scope="module", params=[1, 2, 4])
def shares(request: pytest.FixtureRequest) -> list[dict[str, Result]]:
    if request.param == 1:
        return [share(0, 1)]
    return run_group(request.param, share, request.param)


def assert_equal(shares: list[Result], rows: str, dim: int, expected: Result) -> None:
    """``rows`` is the gradient of which each rank has its own rows, along ``dim``."""
    found = dict(shares[0])
    found[rows] = torch.cat([s[rows] for s in shares], dim)
    for name, value in expected.items():
        assert torch.allclose(found[name].double(), value.double(), rtol=1e-4, atol=1e-6), name


@pytest.mark.parametrize("contrast", ["global", "local"])
def test_clip_equals_open_clip_on_the_whole_batch(contrast: str, shares: list) -> None:
    _, parts = clip_parts(contrast)
    features = whole_features(parts).requires_grad_()
    image, text, scale = embedded(parts, features)
    loss = ClipLoss()(image, text, scale)
    loss.backward()
    expected = {"loss": loss.detach(), "features": gradient(features)} | gradients(parts)
    assert_equal([s[contrast] for s in shares], "features", 0, expected)


def test_siglip_equals_a_loop_over_all_pairs(shares: list) -> None:
    _, parts = clip_parts("siglip")
    parts = copy.deepcopy(parts).double()
    features = whole_features(clip_parts("siglip")[1]).double().requires_grad_()
    image, text, scale = embedded(parts, features)
    temperature: Any = parts["logit_scale"]
    loss = torch.zeros((), dtype=torch.float64)
    for i in range(N):
        for j in range(N):
            score = scale * (image[i] @ text[j]) + temperature["bias"][0]
            loss = loss - logsigmoid(score if i == j else -score) / N
    loss.backward()
    expected = {"loss": loss.detach(), "features": gradient(features)} | gradients(parts)
    assert_equal([s["siglip"] for s in shares], "features", 0, expected)


def test_nt_xent_equals_lightly_on_the_whole_batch(shares: list) -> None:
    lightly = pytest.importorskip("lightly.loss.ntx_ent_loss")
    views = whole_views().requires_grad_()
    loss = lightly.NTXentLoss(temperature=0.2)(*views)
    loss.backward()
    expected = {"loss": loss.detach(), "views": gradient(views)}
    assert_equal([s["nt_xent"] for s in shares], "views", 1, expected)


@pytest.mark.parametrize("loss", [*CONTRASTS, "nt_xent"])
def test_accuracy_is_of_the_whole_batch(loss: str, shares: list) -> None:
    """The nearest of all candidates is asked for, not of those on the same worker."""
    if loss == "nt_xent":
        a, b = normalize(whole_views(), dim=2)
        rows, wanted = torch.cat([a, b]), torch.arange(2 * N).roll(N)
        scores = (rows @ rows.T).fill_diagonal_(-2)
    else:
        _, parts = clip_parts(loss)
        with torch.no_grad():
            image, text, _ = embedded(parts, whole_features(parts))
        scores, wanted = image @ text.T, torch.arange(N)
    expected = (scores.argmax(1) == wanted).float().mean()
    assert NUM_PAIRED / N <= expected < 1
    assert float(shares[0][loss]["accuracy"]) == pytest.approx(float(expected))


def embedded(parts: nn.ModuleDict, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Images, captions and scale, put together from torch and open_clip alone."""
    temperature: Any = parts["logit_scale"]
    weight: Any = parts["image_projection"].weight
    return (
        normalize(features @ weight.T),
        normalize(parts["text"](TOKENS)),
        temperature["log"][0].exp(),
    )


def test_simclr_uses_nt_xent() -> None:
    """The method's loss is NT-Xent of its projections."""
    method = SimCLR(temperature=0.2)
    parts = nn.ModuleDict({"projector": nn.Identity()})
    a, b = whole_views()
    metrics = method.loss(parts, [a, b], torch.zeros(0), [])
    assert metrics["loss"] == nt_xent(normalize(a), normalize(b), 0.2)[0]
