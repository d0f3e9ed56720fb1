"""Several processes train one model; some checkpoint it, others go on."""

import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from raystudy.backbone import Objective, build_objective
from raystudy.kinds import Method
from raystudy.methods.clip import CLIP
from raystudy.methods.simclr import SimCLR
from raystudy.methods.supervised import Supervised
from raystudy.optimiser import Average, build_optimiser
from raystudy.sources.glyphs import Glyphs
from raystudy.spec import Architecture, Optimisation, Preprocessing, Pretraining
from raystudy.stages.fabric import Fabric, LocalFabric
from raystudy.stages.group import GroupFabric
from raystudy.store import Store

from ..group import RankError, run_group

N = 12
"""Examples of the global batch: one, two, three and four workers can share it."""
RESNET = Architecture(
    name="resnet18",
    args={"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]},
    preprocessing=Preprocessing(image_size=32),
)
METHODS = {"supervised": Supervised(), "simclr": SimCLR(), "clip": CLIP()}
ROUNDING = {"supervised": 1e-8, "simclr": 1e-5, "clip": 1e-5}
"""Weights and images are in double precision here; the contrastive losses are in single."""
SGD = Optimisation(optimiser="sgd", learning_rate=0.05)
ADAMW = Optimisation()


def spec(method: Method, optimisation: Optimisation = ADAMW) -> Pretraining:
    return Pretraining(
        method=method,
        architecture=RESNET,
        source=Glyphs(script="latin", num_examples=64, image_size=32),
        size=64,
        optimisation=optimisation,
    )


def fabric(folder: Path | str, **options: Any) -> Fabric:
    if dist.is_initialized():
        return GroupFabric(Store(str(folder)), "some", lambda *_: None, **options)
    return LocalFabric(Store(str(folder)), "some", lambda *_: None)


def batch(step: int, rank: int, world_size: int) -> tuple[Tensor, Tensor, list[str]]:
    """A worker's share, every W-th example: two views (2, N/W, 3, 32, 32), labels, captions."""
    generator = torch.Generator().manual_seed(step)
    views = torch.randn(2, N, 3, 32, 32, generator=generator)
    captions = [f"letter {i}, in colour {step}" for i in range(N)]
    mine = slice(rank, None, world_size)
    return views[:, mine], torch.arange(N)[mine] % 5, captions[mine]


class Run:
    """A few steps of training, without the stage around them."""

    def __init__(self, spec: Pretraining, on: Fabric, dtype: torch.dtype = torch.float64) -> None:
        self.spec, self.fabric, self.dtype = spec, on, dtype
        self.objective: Objective = build_objective(spec, 5).to(dtype)
        self.model = on.wrap(self.objective).train()
        self.optimiser = build_optimiser(self.objective, spec.optimisation)
        self.norms: list[float] = []

    def steps(self, first: int, last: int, rate: float = 1e-3) -> "Run":
        for step in range(first, last):
            views, labels, captions = batch(step, self.fabric.rank, self.fabric.num_workers)
            shown = list(views[: self.spec.method.num_views].to(self.dtype))
            metrics = self.model(shown, labels, captions)
            metrics["loss"].backward()
            norm = nn.utils.clip_grad_norm_(self.objective.parameters(), 0.5)
            self.norms.append(self.fabric.mean({"norm": norm.detach()})["norm"])
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
        return self

    def state(self) -> dict[str, Any]:
        return self.fabric.state(self.objective, self.optimiser)

    def load(self, state: dict[str, Any]) -> "Run":
        self.fabric.load(self.objective, self.optimiser, state)
        return self


def flat(state: Any, name: str = "") -> dict[str, Tensor]:
    """Every tensor of a state by its path."""
    match state:
        case Tensor():
            return {name: state}
        case dict() | list():
            items = state.items() if isinstance(state, dict) else enumerate(state)
            return {k: v for i, s in items for k, v in flat(s, f"{name}/{i}").items()}
        case _:
            return {}


def difference(found: Any, expected: Any) -> float:
    """The largest over all tensors, each relative to its largest value."""
    a, b = flat(found), flat(expected)
    assert a.keys() == b.keys()
    assert all(a[k].shape == b[k].shape for k in a), "a whole state has the same shapes everywhere"
    sizes = {k: float(v.abs().max().clamp(min=1e-12)) for k, v in b.items()}
    errors = {k: float((a[k] - b[k]).abs().max()) / size for k, size in sizes.items()}
    return max(errors.values())


def train(rank: int, spec: Pretraining, folder: str, steps: int, sharded: bool) -> dict[str, Any]:
    run = Run(spec, fabric(folder, sharded=sharded)).steps(0, steps)
    return {"state": run.state(), "norms": run.norms}


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("simclr", "clip")]


@pytest.mark.parametrize("sharded", [False, True], ids=["replicated", "sharded"])
@pytest.mark.parametrize("method", ["supervised", *SLOW])
def test_two_workers_are_one(method: str, sharded: bool, tmp_path: Path) -> None:
    """Gradients (clipped, in the optimiser's moments), their norms, weights, running statistics."""
    this = spec(METHODS[method], SGD)
    one = train(0, this, str(tmp_path), 2, False)
    two = run_group(2, train, this, str(tmp_path), 2, sharded)[0]
    assert two["norms"] == pytest.approx(one["norms"], rel=1e-6)
    assert difference(two["state"], one["state"]) < ROUNDING[method]


def resume(
    rank: int, spec: Pretraining, folder: str, state: dict[str, Any], steps: int, sharded: bool
) -> dict[str, Any]:
    # Optimisers train on in the tensors they are given.
    run = Run(spec, fabric(folder, sharded=sharded)).load(deepcopy(state))
    return run.steps(2, steps).state()


RESUMED = [(Supervised(), ADAMW, 1e-6), (CLIP(), SGD, 1e-5)]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "optimisation", "rounding"), RESUMED, ids=["adamw", "sgd"])
def test_any_workers_go_on_from_a_sharded_checkpoint(
    method: Method, optimisation: Optimisation, rounding: float, tmp_path: Path
) -> None:
    this, folder = spec(method, optimisation), str(tmp_path)
    expected = train(0, this, folder, 4, False)["state"]
    state = run_group(2, train, this, folder, 2, True)[0]["state"]
    assert difference(resume(0, this, folder, state, 4, False), expected) < rounding
    for world_size, sharded in ((3, True), (2, False)):
        found = run_group(world_size, resume, this, folder, state, 4, sharded)[0]
        assert difference(found, expected) < rounding, (world_size, sharded)


def test_sharded_workers_go_on_from_a_checkpoint_of_one(tmp_path: Path) -> None:
    this, folder = spec(Supervised()), str(tmp_path)
    expected = train(0, this, folder, 4, False)["state"]
    state = train(0, this, folder, 2, False)["state"]
    assert difference(run_group(2, resume, this, folder, state, 4, True)[0], expected) < 1e-6


def repeat(rank: int, spec: Pretraining, folder: str, sharded: bool) -> bool:
    """Whether four steps at once end as two, a checkpoint, and two more in new models."""
    on = fabric(folder, sharded=sharded)
    whole = Run(spec, on, torch.float32).steps(0, 4)
    begun = Run(spec, on, torch.float32).steps(0, 2)
    box = [begun.state()]
    dist.broadcast_object_list(box, src=0)
    resumed = Run(spec, on, torch.float32).load(box[0]).steps(2, 4)
    ends = [run.objective.state_dict().values() for run in (whole, resumed)]
    return all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True], ids=["replicated", "sharded"])
@pytest.mark.parametrize("world_size", [2, 3])
def test_a_resumed_run_is_bitwise_the_same(world_size: int, sharded: bool, tmp_path: Path) -> None:
    assert all(run_group(world_size, repeat, spec(CLIP()), str(tmp_path), sharded))


def held(rank: int, folder: str) -> list[int]:
    """How many weights and moments lie with this worker."""
    run = Run(spec(Supervised()), fabric(folder, sharded=True)).steps(0, 1)
    state = flat([run.objective.state_dict(), run.optimiser.state_dict()])
    own = [v.to_local() if isinstance(v, DTensor) else v for v in state.values()]
    return [sum(v.untyped_storage().nbytes() for v in own), sum(v.nbytes for v in state.values())]


def test_a_sharded_worker_holds_its_part_only(tmp_path: Path) -> None:
    for own, whole in run_group(3, held, str(tmp_path)):
        assert own < 0.45 * whole


def average(rank: int, folder: str) -> list[list[Tensor]]:
    """Gradients as the wrapped model averages them by itself, and as accumulation has them."""
    on, this = fabric(folder), spec(Supervised())
    runs = [Run(this, on), Run(this, on)]
    views, labels, captions = batch(0, rank, on.num_workers)
    for model in (runs[0].model, runs[1].objective):
        model([views[0].double()], labels, captions)["loss"].backward()
    on.average_gradients(runs[1].objective.parameters())
    return [[p.grad for p in run.objective.parameters() if p.grad is not None] for run in runs]


def test_gradients_are_averaged_without_the_wrapping(tmp_path: Path) -> None:
    alone = Run(spec(Supervised()), fabric(tmp_path))
    num_parameters = len(list(alone.objective.parameters()))
    for wrapped, averaged in run_group(3, average, str(tmp_path)):
        assert len(wrapped) == len(averaged) == num_parameters
        torch.testing.assert_close(wrapped, averaged, rtol=1e-12, atol=1e-15)


def moving_average(rank: int, folder: str, sharded: bool) -> list[dict[str, Any]]:
    run = Run(spec(Supervised()), fabric(folder, sharded=sharded))
    average = Average(run.objective, 0.9)
    for step in range(3):
        run.steps(step, step + 1)
        average.update()
    live = copied(run.state()["objective"])
    average.swap()
    return [live, copied(run.state()["objective"])]


def test_a_moving_average_may_be_sharded(tmp_path: Path) -> None:
    one = moving_average(0, str(tmp_path), False)
    two = run_group(2, moving_average, str(tmp_path), True)[0]
    assert difference(two, one) < 1e-6
    assert difference(one[0], one[1]) > 1e-4


def copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v if v is None else v.clone() for k, v in state.items()}


def due(rank: int, folder: str, sharded: bool, first: float, others: float) -> bool:
    on = fabric(folder, sharded=sharded, checkpoint_interval_s=others if rank else first)
    return on.checkpoint_is_due()


@pytest.mark.parametrize(
    ("sharded", "first", "others", "expected"),
    [
        (True, -1.0, 1e9, [True, True, True]),
        (True, 1e9, -1.0, [False, False, False]),
        (False, -1.0, -1.0, [True, False, False]),
    ],
)
def test_workers_agree_when_a_checkpoint_is_due(
    sharded: bool, first: float, others: float, expected: list[bool], tmp_path: Path
) -> None:
    assert run_group(3, due, str(tmp_path), sharded, first, others) == expected


def mean(rank: int, folder: str) -> dict[str, float]:
    on = fabric(folder)
    assert (on.rank, on.num_workers, on.device.type) == (rank, 3, "cpu")
    return on.mean({"loss": torch.tensor(float(rank)), "one": torch.ones(1, dtype=torch.float64)})


def test_metrics_are_averaged(tmp_path: Path) -> None:
    assert run_group(3, mean, str(tmp_path)) == [{"loss": 1.0, "one": 1.0}] * 3


def fail(rank: int) -> None:
    if rank == 1:
        raise LookupError("out of luck")
    dist.barrier()


def hang(rank: int) -> None:
    if rank == 0:
        time.sleep(60)


def test_the_first_to_fail_is_the_one_that_is_heard_of() -> None:
    with pytest.raises(RankError, match=r"rank 1 of 3\n(.|\n)*LookupError: out of luck"):
        run_group(3, fail)


def test_a_group_that_hangs_is_ended() -> None:
    with pytest.raises(TimeoutError, match="hang"):
        run_group(2, hang, timeout_s=3.0)
