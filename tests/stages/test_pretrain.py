"""Pre-training: exact resume, exact start, and a loss that is torch's own."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

from raystudy.backbone import build_objective
from raystudy.kinds import Rendered
from raystudy.randomness import number
from raystudy.spec import Optimisation, Pretraining, Study
from raystudy.stages.batches import Batch, local_batches
from raystudy.stages.fabric import LocalFabric
from raystudy.stages.index import index
from raystudy.stages.pretrain import DivergedError, pretrain, scheduled_rate
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


def train(spec: Pretraining, store: Store, until: int | None = None) -> list[int]:
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

    pretrain(spec, selection, batches, LocalFabric(store, spec.key, note, 0.0))
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
    assert store.read("checkpoints", f"{spec.key}.pt") is None


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
        for chunk, part in enumerate(torch.from_numpy(batch.images[0]).split(8)):
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


def test_divergence_stops_the_run_with_its_reason(spec: Pretraining, store: Store) -> None:
    wild = spec.model_copy(
        update={"optimisation": Optimisation(learning_rate=1e30, clip_norm=None)}
    )
    with pytest.raises(DivergedError, match="at step"):
        train(wild, store)
    assert not store.done("pretrainings", wild.key)


def test_the_schedule_warms_up_and_ends_near_zero() -> None:
    optimisation = Optimisation(learning_rate=1.0, warmup_fraction=0.2)
    rates = [scheduled_rate(s, 50, optimisation) for s in range(50)]
    assert rates.index(max(rates)) == 10
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.01


def test_the_realised_noise_is_counted(study: Study, store: Store) -> None:
    noisy = next(b for b in study.grids[0].backbones() if b.axes()["noise_rate"] == 0.5)
    assert isinstance(noisy, Pretraining)
    index(rendered(noisy), store)
    noised, clean = select(noisy, store), select(noisy.model_copy(update={"noise": None}), store)
    assert noised.table["id"] == clean.table["id"]
    assert noised.realised_noise == (noised.labels != clean.labels).mean()
    assert 0.3 < noised.realised_noise < 0.7
