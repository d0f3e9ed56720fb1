"""Pre-training: exact resume, exact start, and a loss that is torch's own."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

from raystudy.backbone import build_objective
from raystudy.kinds import Rendered
from raystudy.randomness import number
from raystudy.spec import Architecture, Budget, Optimisation, Pretraining, Study, Trunk
from raystudy.stages.batches import Batch, local_batches
from raystudy.stages.beginning import first_step
from raystudy.stages.fabric import LocalFabric
from raystudy.stages.index import index
from raystudy.stages.pretrain import DivergedError, pretrain
from raystudy.stages.select import Selection, select
from raystudy.store import Store
from raystudy.views import training_view


class KilledError(Exception):
    """Stands for whatever ends a process between two steps."""


@pytest.fixture
def spec(study: Study, store: Store) -> Pretraining:
    torch.set_num_threads(1)
    found = next(iter(study.grids[0].backbones()))
    assert isinstance(found, Pretraining)
    index(rendered(found), store)
    return found


def rendered(spec: Pretraining) -> Rendered:
    assert isinstance(spec.source, Rendered)
    return spec.source


def weights(store: Store, spec: Pretraining) -> dict[str, torch.Tensor]:
    return load_file(store.local("pretrainings", spec.key) / "objective.safetensors")


def train(
    spec: Pretraining, store: Store, until: int | None = None, trunks: Sequence[Trunk] = ()
) -> list[int]:
    """Train; die before step ``until``. Returns the steps that were reported."""
    reported: list[int] = []
    selection = select(spec, store)

    def batches(first: int) -> Iterator[Batch]:
        for batch in local_batches(spec, selection, store, first):
            if batch.step == until:
                raise KilledError
            yield batch

    def note(key: str, step: int, metrics: object) -> None:
        reported.append(step)

    fabric = LocalFabric(store, spec.key, note, 0.0)
    try:
        pretrain(spec, selection, batches, fabric, trunks)
    finally:
        fabric.flush()
    return reported


@pytest.mark.parametrize("until", [1, 7, 11])
def test_a_killed_run_ends_with_the_same_weights(spec, store, tmp_path: Path, until: int) -> None:
    whole = Store(tmp_path / "whole")
    index(rendered(spec), whole)
    steps = train(spec, whole)
    with pytest.raises(KilledError):
        train(spec, store, until)
    assert not store.done("pretrainings", spec.key)
    rest = train(spec, store)
    assert rest == steps, "the watcher hears of every step, those before the kill included"
    expected, found = weights(whole, spec), weights(store, spec)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    curves = [s.local("pretrainings", spec.key) / "curve.json" for s in (whole, store)]
    steps_kept = [[point[0] for point in json.loads(c.read_text())] for c in curves]
    assert steps_kept[0] == steps_kept[1]
    assert store.names("checkpoints", spec.key) == []


def test_training_equals_a_plain_torch_loop(spec: Pretraining, store: Store) -> None:
    """Supervised pre-training bit for bit, written as anyone would write it."""
    train(spec, store)
    selection: Selection = select(spec, store)
    objective = build_objective(spec, selection.num_classes).train()
    decayed = [p for p in objective.parameters() if p.ndim > 1]
    others = [p for p in objective.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, fused=True)
    warmup = int(0.1 * spec.num_steps)
    for step, batch in enumerate(local_batches(spec, selection, store, 0)):
        progress = (step - warmup) / (spec.num_steps - warmup)
        rate = 1e-3 * (
            (step + 1) / (warmup + 1) if step < warmup else 0.5 * (1 + math.cos(math.pi * progress))
        )
        for group in optimiser.param_groups:
            group["lr"] = rate
        halves = []
        assert isinstance(spec.architecture, Architecture)
        for chunk, part in enumerate(torch.from_numpy(batch.inputs[0]).split(8)):
            generator = torch.Generator().manual_seed(number(0, "views", step, chunk, 0))
            halves.append(
                training_view(part, spec.architecture.preprocessing, spec.augmentation, generator)
            )
        features = objective.backbone(torch.cat(halves))
        loss = cross_entropy(objective.parts["head"](features), torch.from_numpy(batch.labels))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
    found = weights(store, spec)
    for name, value in objective.state_dict().items():
        assert torch.equal(found[name], value), name


BRANCHED = {
    "size": 128,
    "budget": Budget(order="sampled", batch_size=16, chunk_size=8),
    "optimisation": Optimisation(schedule="wsd", warmup_steps=2, ema_decay=0.9),
}


def test_a_branch_ends_as_if_it_had_been_trained_alone(spec, store, tmp_path: Path) -> None:
    """Through two trunks, one begun with the other, bit for bit, the curve included."""
    branched = spec.model_copy(update=BRANCHED)
    short = branched.model_copy(update={"size": 64}).trunk
    trunks = [short, branched.trunk]
    assert [t.num_steps for t in trunks] == [4, 7]
    alone = Store(tmp_path / "alone")
    index(rendered(spec), alone)
    train(branched, alone)
    for trunk in trunks:
        train(trunk, store, trunks=trunks)
    assert first_step(store, branched, trunks) == 7
    train(branched, store, trunks=trunks)
    expected, found = weights(alone, branched), weights(store, branched)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    curves = [
        json.loads((s.local("pretrainings", branched.key) / "curve.json").read_text())
        for s in (alone, store)
    ]
    assert [(s, p["loss"]) for s, p in curves[0]] == [(s, p["loss"]) for s, p in curves[1]]
    facts = [store.provenance(s.room, s.key)["own_samples"] for s in (*trunks, branched)]
    assert facts == [64, 48, 16]


def test_a_branch_says_so_when_its_trunk_was_not_finished(spec, store) -> None:
    branched = spec.model_copy(update=BRANCHED)
    with pytest.raises(RuntimeError, match="not finished"):
        train(branched, store, trunks=[branched.trunk])


FIELDS = [
    Optimisation(optimiser="sgd", learning_rate=0.1),
    Optimisation(optimiser="lars", learning_rate=0.1, ema_decay=0.8),
    Optimisation(precision="bfloat16", schedule="wsd"),
    Optimisation(precision="float16"),
]


@pytest.mark.parametrize("optimisation", FIELDS, ids=["sgd", "lars ema", "bfloat16", "float16"])
def test_everything_that_changes_is_in_a_checkpoint(spec, store, tmp_path, optimisation) -> None:
    # At 16 px the last stage strides over a single pixel, where oneDNN's bfloat16 gradient of the
    # weights is whatever lay in memory.
    seen = spec.architecture.preprocessing.model_copy(update={"image_size": 32})
    larger = spec.architecture.model_copy(update={"preprocessing": seen})
    spec = spec.model_copy(update={"optimisation": optimisation, "architecture": larger})
    whole = Store(tmp_path / "whole")
    index(rendered(spec), whole)
    train(spec, whole)
    with pytest.raises(KilledError):
        train(spec, store, 7)
    assert first_step(store, spec) > 0
    train(spec, store)
    expected, found = weights(whole, spec), weights(store, spec)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_divergence_stops_the_run_with_its_reason(spec: Pretraining, store: Store) -> None:
    wild = spec.model_copy(
        update={"optimisation": Optimisation(learning_rate=1e30, clip_norm=None)}
    )
    with pytest.raises(DivergedError, match="at step"):
        train(wild, store)
    assert not store.done("pretrainings", wild.key)


def test_the_realised_noise_is_counted(study: Study, store: Store) -> None:
    noisy = next(b for b in study.grids[0].backbones() if b.axes()["noise_rate"] == 0.5)
    assert isinstance(noisy, Pretraining)
    index(rendered(noisy), store)
    noised, clean = select(noisy, store), select(noisy.model_copy(update={"noise": None}), store)
    assert noised.table["id"] == clean.table["id"]
    assert noised.realised_noise == (noised.labels != clean.labels).mean()
    assert 0.3 < noised.realised_noise < 0.7
