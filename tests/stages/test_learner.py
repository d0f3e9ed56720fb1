"""A step of training: accumulation changes memory and nothing else; precision as asked."""

import pytest
import torch

from raystudy.backbone import build_objective
from raystudy.methods.simclr import SimCLR
from raystudy.methods.supervised import Supervised
from raystudy.spec import Architecture, Budget, Optimisation, Preprocessing, Pretraining, Study
from raystudy.stages.batches import local_batches
from raystudy.stages.fabric import LocalFabric
from raystudy.stages.index import index
from raystudy.stages.learner import Learner
from raystudy.stages.select import select
from raystudy.store import Store

# Without batch norm a part of a batch says nothing of the rest, so parts and whole must agree.
NO_BATCH_NORM = Architecture(
    name="vit_tiny_patch16_224",
    args={"img_size": 16, "patch_size": 8, "depth": 2, "embed_dim": 32, "num_heads": 2}
    | {"drop_path_rate": 0.0},
    preprocessing=Preprocessing(image_size=16),
)


def learner_of(spec: Pretraining, store: Store) -> Learner:
    torch.manual_seed(0)
    fabric = LocalFabric(store, spec.key, lambda *_: None)
    return Learner(spec, build_objective(spec, 62), fabric)


def steps(spec: Pretraining, store: Store, count: int) -> tuple[Learner, list[dict]]:
    index(spec.source, store)  # pyright: ignore[reportArgumentType]
    learner, selection = learner_of(spec, store), select(spec, store)
    batches = local_batches(spec, selection, store, 0)
    return learner, [learner.step(next(batches), 1e-3) for _ in range(count)]


@pytest.mark.parametrize("method", [Supervised(), SimCLR()], ids=["supervised", "simclr"])
def test_accumulation_has_the_gradients_of_the_whole_batch(method, study: Study, store) -> None:
    spec = next(iter(study.grids[0].backbones()))
    assert isinstance(spec, Pretraining)
    # Adam would make a step of full size of a gradient that is nothing but rounding.
    fields = {"method": method, "architecture": NO_BATCH_NORM, "noise": None}
    spec = spec.model_copy(update=fields | {"optimisation": Optimisation(optimiser="sgd")})
    parts = Budget(batch_size=16, chunk_size=4, accumulation=4)
    split = spec.model_copy(update={"budget": parts})
    whole = spec.model_copy(update={"budget": parts.model_copy(update={"accumulation": 1})})
    a, of_whole = steps(whole, store, 3)
    b, of_split = steps(split, store, 3)
    for x, y in zip(of_whole, of_split, strict=True):
        torch.testing.assert_close(x["loss"], y["loss"])
        torch.testing.assert_close(x["gradient_norm"], y["gradient_norm"], rtol=1e-4, atol=1e-6)
    for x, y in zip(a.objective.parameters(), b.objective.parameters(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-7)


def test_accumulation_moves_running_statistics_once(study: Study, store: Store) -> None:
    """As torch does when the parts pass through one after the other."""
    spec = next(iter(study.grids[0].backbones()))
    assert isinstance(spec, Pretraining)
    spec = spec.model_copy(
        update={"budget": Budget(batch_size=16, chunk_size=8, accumulation=2), "noise": None}
    )
    learner, _ = steps(spec, store, 3)
    norms = [m for m in learner.objective.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert {int(m.num_batches_tracked) for m in norms} == {6}  # pyright: ignore[reportArgumentType]
    assert {m.momentum for m in norms} == {0.1}


def test_half_precision_is_used_and_weights_stay_whole(study: Study, store: Store) -> None:
    spec = next(iter(study.grids[0].backbones()))
    assert isinstance(spec, Pretraining)
    seen: list[torch.dtype] = []
    spec = spec.model_copy(update={"optimisation": Optimisation(precision="bfloat16")})
    index(spec.source, store)  # pyright: ignore[reportArgumentType]
    learner, selection = learner_of(spec, store), select(spec, store)
    convolution = next(m for m in learner.objective.modules() if isinstance(m, torch.nn.Conv2d))
    convolution.register_forward_hook(lambda m, i, output: seen.append(output.dtype))
    learner.step(next(local_batches(spec, selection, store, 0)), 1e-3)
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in learner.objective.parameters()} == {torch.float32}


def test_the_average_and_the_last_weights_are_both_in_the_state(study: Study, store) -> None:
    """The average is that of a plain loop over the weights after each step, not the last ones."""
    spec = next(iter(study.grids[0].backbones()))
    assert isinstance(spec, Pretraining)
    spec = spec.model_copy(update={"optimisation": Optimisation(ema_decay=0.7), "noise": None})
    index(spec.source, store)  # pyright: ignore[reportArgumentType]
    learner, selection = learner_of(spec, store), select(spec, store)
    batches = local_batches(spec, selection, store, 0)
    name, weight = next(iter(learner.objective.named_parameters()))
    expected = weight.detach().clone()
    for _ in range(4):
        learner.step(next(batches), 1e-2)
        expected = 0.7 * expected + 0.3 * weight.detach()
    state = learner.state()
    torch.testing.assert_close(state["average"][name], expected)
    assert torch.equal(state["objective"][name], weight)
    assert not torch.allclose(expected, weight)
    again = learner_of(spec, store)
    again.load(state)
    for key, value in learner.state()["average"].items():
        assert torch.equal(again.state()["average"][key], value)
