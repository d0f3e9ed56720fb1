"""How many workers share a pre-training does not show in what it computes."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import Tensor

from raystudy.backbone import build_objective
from raystudy.kinds import Method, Rendered
from raystudy.methods.clip import CLIP
from raystudy.methods.next_token import NextToken
from raystudy.methods.simclr import SimCLR
from raystudy.methods.supervised import Supervised
from raystudy.order import Parcel
from raystudy.shards.read import Reader
from raystudy.sources.glyphs import Glyphs
from raystudy.spec import (
    Architecture,
    Augmentation,
    Budget,
    Optimisation,
    Preprocessing,
    Pretraining,
)
from raystudy.stages.batches import Batch, load, unpack
from raystudy.stages.checkpoints import last_step
from raystudy.stages.group import GroupFabric
from raystudy.stages.index import index
from raystudy.stages.pretrain import pretrain
from raystudy.stages.select import select
from raystudy.store import Store

from ..group import run_group
from ..texts import TINY, text_files

SGD = Optimisation(optimiser="sgd", learning_rate=0.01, weight_decay=0.0005)
ADAMW = Optimisation(learning_rate=1e-4)
CASES = {
    "supervised": (Supervised(), SGD),
    # At a temperature of 0.1 the first gradients of SGD are large enough for rounding errors to
    # grow from step to step, as they do between two kinds of processor.
    "simclr": (SimCLR(), ADAMW),
    # The keys of attention have a bias of which no gradient is left but rounding, which AdamW
    # scales up to its learning rate.
    "clip": (CLIP(), SGD),
    "next-token": (NextToken(), SGD),
}


def spec(method: Method, optimisation: Optimisation, num_steps: int = 50) -> Pretraining:
    """A ResNet with 12 batch norms, on 32 glyphs a step, or a decoder on 32 contexts."""
    budget = Budget(samples=num_steps * 32, batch_size=32, chunk_size=8)
    if method.modality == "tokens":
        source = text_files(Path(mkdtemp(prefix="words-")))
        return Pretraining(
            method=method,
            architecture=TINY,
            source=source,
            size=256,
            budget=budget,
            optimisation=optimisation,
        )
    return Pretraining(
        method=method,
        architecture=Architecture(
            name="resnet18",
            args={"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]},
            preprocessing=Preprocessing(image_size=16, grayscale=True, standardise="image"),
        ),
        source=Glyphs(script="latin", num_examples=300, image_size=16),
        size=256,
        budget=budget,
        optimisation=optimisation,
        augmentation=Augmentation(rotation_degrees=10, low_resolution=(7, 14)),
    )


def work(rank: int, spec: Pretraining, folder: str, sharded: bool, until: int | None) -> bool:
    """The stage as a worker of a cluster runs it; it may die before a step."""
    store = Store(folder)
    selection = select(spec, store)
    fabric = GroupFabric(store, spec.key, lambda *_: None, -1.0, sharded=sharded)

    def batches(first: int) -> Iterator[Batch]:
        with Reader() as reader:
            for step in range(first, spec.num_steps):
                if step == until:
                    raise KilledError
                parcel = Parcel(0, step, 1, rank)
                loaded = load(parcel, spec, selection, fabric.num_workers, reader)
                yield from unpack(parcel, loaded, spec, fabric.num_workers, 0.0)

    try:
        pretrain(spec, selection, batches, fabric)
    except KilledError:
        fabric.flush()
    dist.barrier()
    return store.done(spec.room, spec.key)


class KilledError(Exception):
    """Stands for whatever ends a process between two steps."""


def train(
    num_workers: int, spec: Pretraining, folder: Path, sharded: bool = False, begun_by: int = 0
) -> dict[str, Tensor]:
    """The weights that so many workers publish; others may have begun and died."""
    store = Store(folder)
    assert isinstance(spec.source, Rendered)
    index(spec.source, store)
    if begun_by:
        half = spec.num_steps // 2
        assert not any(run_group(begun_by, work, spec, str(folder), sharded, half))
        assert last_step(store, spec.key) == half
    assert all(run_group(num_workers, work, spec, str(folder), sharded, None))
    return load_file(store.local(spec.room, spec.key) / "objective.safetensors")


def difference(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """The largest of any weight, relative to the largest weight."""
    weights = [name for name, value in expected.items() if value.is_floating_point()]
    weights = [name for name in weights if "running" not in name]
    scale = max(float(expected[name].abs().max()) for name in weights)
    return max(float((found[name] - expected[name]).abs().max()) for name in weights) / scale


def statistics_differ(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """The largest difference of running statistics, in deviations and relative to the variance."""
    norms = [name.removesuffix(".running_var") for name in expected if "running_var" in name]
    worst = 0.0
    for norm in norms:
        mean, var = f"{norm}.running_mean", f"{norm}.running_var"
        means = (found[mean] - expected[mean]) / expected[var].sqrt()
        worst = max(
            worst, float(means.abs().max()), float((found[var] / expected[var] - 1).abs().max())
        )
    return worst


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_and_four_workers_are_one(case: str, tmp_path: Path) -> None:
    this = spec(*CASES[case])
    one = train(1, this, tmp_path / "1")
    begin = build_objective(this, select(this, Store(tmp_path / "1")).num_classes).state_dict()
    assert difference(begin, one) > 1e-3, "training moves the weights a hundred times as far"
    for num_workers in (2, 4):
        several = train(num_workers, this, tmp_path / str(num_workers))
        assert difference(several, one) < 1e-5, num_workers
        assert statistics_differ(several, one) < 1e-3, num_workers


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True], ids=["replicated", "sharded"])
def test_a_run_is_bitwise_the_same_again_and_when_resumed(sharded: bool, tmp_path: Path) -> None:
    this = spec(*CASES["clip"], num_steps=8)
    once = train(4, this, tmp_path / "once", sharded)
    again = train(4, this, tmp_path / "again", sharded)
    resumed = train(4, this, tmp_path / "resumed", sharded, begun_by=4)
    for found in (again, resumed):
        assert all(torch.equal(found[name], value) for name, value in once.items())


@pytest.mark.slow
def test_two_sharded_workers_end_what_four_began(tmp_path: Path) -> None:
    this = spec(*CASES["supervised"], num_steps=20)
    one = train(1, this, tmp_path / "one")
    assert difference(train(2, this, tmp_path / "two", True, begun_by=4), one) < 1e-5
