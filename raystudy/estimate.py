"""How long what is missing of a study may take, on which device, and how much it will store.

A rate comes from the nearest evidence there is: runs of the same method and architecture in the
store; else counted operations (``raystudy.cost``) at the speed that other runs of the store reached
on that device; else at the speed that was published for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import polars as pl

from raystudy.cost import cost, state_bytes
from raystudy.ledger import Ledger
from raystudy.plan import Plan
from raystudy.spec import Backbone, Cell, Pretraining, Published
from raystudy.store import Store
from raystudy.trunks import own_samples

K = TypeVar("K", bound=Hashable)

CPU_CORE = "cpu-core"
SMALL_VIEWS_PER_S = 1_500.0
"""Of a network as small as the quickstart's, on one core."""
SMALL_SIDE = 64
"""Pixels up to which a network counts as small. Counting operations loads torch, which takes longer
than all the rest of a plan, so small ones are counted only for a device that was asked for."""
SMALL_FLOPS = 1e9
"""Of one example of tokens, likewise."""
SECONDS_PER_CELL = {"features": 0.3, "images": 5.0, "tokens": 30.0}
SECONDS_PER_EXTRACTION = 2.0
BYTES_PER_EXAMPLE = 150
"""Of a selection: id, caption and place of one example."""
NUM_CHECKPOINTS = 2
"""Kept of each pre-training while it runs (see ``raystudy.stages.checkpoints``)."""


class Speed(NamedTuple):
    """What a device reaches when it trains, in operations a second."""

    single: float
    half: float
    """With bfloat16 or float16."""
    source: str


RESNET50 = 24.5e9
"""Operations for one image of 224 pixels, forward and backward: 3 × 4.09 GMACs."""
_NVIDIA = "throughput of ResNet-50 on one {} in github.com/NVIDIA/DeepLearningExamples (PyTorch)"
SPEEDS = {
    # Of peaks of 15.7 and 125 TFLOP/s.
    "v100": Speed(367 * RESNET50, 1200 * RESNET50, _NVIDIA.format("V100 16 GB")),
    # Of peaks of 156 (TF32) and 312 TFLOP/s.
    "a100": Speed(938 * RESNET50, 2470 * RESNET50, _NVIDIA.format("A100 80 GB")),
    "h100": Speed(2 * 938 * RESNET50, 2 * 2470 * RESNET50, "assumed to be twice an A100's"),
    CPU_CORE: Speed(30e9, 30e9, "assumed: a third of what AVX2 can do at 3 GHz"),
}


@dataclass(frozen=True)
class Estimate:
    """Of what is missing. Seconds are of one device; of one core for adaptations."""

    device: str
    pretrain_s: float
    adapt_s: float | None
    """None where networks are too large for a guess and none was adapted here yet."""
    flops: float | None
    """Of all pre-training; None where nothing was counted, as for bytes."""
    weights_bytes: int | None
    """Of all pre-trainings."""
    trunks_bytes: int | None
    checkpoints_bytes: int | None
    """At most, of one run while it trains."""
    selections_bytes: int
    basis: tuple[str, ...]
    """Where the rates are from, best evidence first."""


class Run(NamedTuple):
    """A finished pre-training, as far as its speed goes."""

    spec: Pretraining
    device: str
    samples: float
    device_s: float
    flops_per_sample: float | None


def estimate(todo: Plan, store: Store, device: str | None = None) -> Estimate:
    """``device`` is one of ``SPEEDS``, or part of the name of one that the store has runs of; by
    default whatever most of this study ran on, else one core. Raises ValueError for another."""
    wanted = [*todo.missing_trunks, *todo.missing_pretrainings]
    rates = _Rates(todo, store, device)
    counting = device is not None or not all(map(rates.needs_no_count, wanted))
    amounts = [own_samples(spec, todo.trunks) for spec in wanted]
    seconds = sum(
        n / rates.samples_per_s(s, counting) for n, s in zip(amounts, wanted, strict=True)
    )
    sizes = [_sizes(spec) for spec in wanted] if counting else []
    num_trunks = len(todo.missing_trunks)
    return Estimate(
        device=rates.device,
        pretrain_s=seconds,
        adapt_s=_adapt_s(todo.missing_cells, _measured_cells(store)),
        flops=_flops(amounts, wanted) if counting else None,
        weights_bytes=sum(w for w, _ in sizes[num_trunks:]) if counting else None,
        trunks_bytes=sum(s for _, s in sizes[:num_trunks]) if counting else None,
        checkpoints_bytes=NUM_CHECKPOINTS * max(s for _, s in sizes) if sizes else None,
        selections_bytes=_selections_bytes(wanted),
        basis=rates.basis,
    )


def seconds_by_backbone(
    todo: Plan, store: Store, device: str | None = None
) -> tuple[str, dict[str, float]]:
    """The device, and what each backbone with missing cells takes by itself, by key: its
    pre-training where that is missing, from the longest trunk that is done, and its missing cells.
    """
    rates = _Rates(todo, store, device)
    cells: dict[str, list[Cell]] = {}
    for cell in todo.missing_cells:
        cells.setdefault(cell.backbone.key, []).append(cell)
    measured = _measured_cells(store)
    seconds = {key: _adapt_s(own, measured, guess=True) or 0.0 for key, own in cells.items()}
    done = [trunk for trunk in todo.trunks if trunk not in todo.missing_trunks]
    for spec in todo.missing_pretrainings:
        counting = device is not None or not rates.needs_no_count(spec)
        seconds[spec.key] += own_samples(spec, done) / rates.samples_per_s(spec, counting)
    return rates.device, seconds


class _Rates:
    """Samples a second of one device."""

    def __init__(self, todo: Plan, store: Store, device: str | None) -> None:
        runs = _finished(todo, store)
        self.device = _resolve(device, runs)
        runs = [run for run in runs if _is_a(run.device, self.device)]
        self._by_kind = _ratios((_kind(r.spec), r.samples, r.device_s) for r in runs)
        self._speeds = _ratios(
            (_is_half(r.spec), r.samples * r.flops_per_sample, r.device_s)
            for r in runs
            if r.flops_per_sample
        )
        self._used: dict[int, str] = {}

    @property
    def basis(self) -> tuple[str, ...]:
        return tuple(line for _, line in sorted(self._used.items()))

    def needs_no_count(self, spec: Pretraining) -> bool:
        is_guessed = _is_small(spec) and self.device == CPU_CORE
        known = _kind(spec) in self._by_kind or spec.architecture.guessed_flops is not None
        return known or is_guessed

    def samples_per_s(self, spec: Pretraining, counting: bool) -> float:
        if rate := self._by_kind.get(_kind(spec)):
            self._used[0] = "rates measured in this store"
            return rate
        if not counting and (flops := spec.architecture.guessed_flops):
            return self._speed(spec) / flops
        if not counting:
            self._used[3] = f"a guess for small networks: {SMALL_VIEWS_PER_S:,.0f} views a second"
            return SMALL_VIEWS_PER_S / spec.method.num_views
        return self._speed(spec) / cost(spec).flops_per_sample

    def _speed(self, spec: Pretraining) -> float:
        half = _is_half(spec)
        if speed := self._speeds.get(half):
            self._used[1] = f"counted operations, at {_tera(speed)} that other runs here reached"
            return speed
        if self.device not in SPEEDS:
            precision = "bfloat16 or float16" if half else "float32"
            raise ValueError(f"--device {self.device}: no run in this store used {precision} on it")
        published = SPEEDS[self.device]
        speed = published.half if half else published.single
        less = "; small networks reach less" if _is_small(spec) and self.device != CPU_CORE else ""
        self._used[2] = f"counted operations, at {_tera(speed)}: {published.source}{less}"
        return speed


def _finished(todo: Plan, store: Store) -> list[Run]:
    done = store.done_keys(Pretraining.room)
    runs = []
    for spec in todo.pretrainings:
        if spec.key in done:
            facts = store.provenance(spec.room, spec.key)
            rate = facts.get("samples_per_s") or facts["samples_seen"] / facts["spent_s"]
            seconds = facts["spent_s"] * facts.get("num_workers", 1)
            samples = rate * facts["spent_s"]
            flops = facts.get("flops_per_sample")
            runs.append(Run(spec, facts.get("device", "cpu"), samples, seconds, flops))
    return [run for run in runs if run.device_s > 0]


def _resolve(asked: str | None, runs: Sequence[Run]) -> str:
    spent: defaultdict[str, float] = defaultdict(float)
    for run in runs:
        spent[run.device.lower()] += run.device_s
    if asked is None:
        most = max(spent, key=lambda name: spent[name], default="cpu")
        return CPU_CORE if most == "cpu" else most
    name = asked.lower()
    if name in SPEEDS or any(name in device for device in spent):
        return name
    raise ValueError(
        f"--device {asked}: its speed is not known; known: {', '.join([*SPEEDS, *spent])}"
    )


def _is_a(device: str, name: str) -> bool:
    return device == "cpu" if name == CPU_CORE else name in device.lower()


def _kind(spec: Pretraining) -> tuple[str, str]:
    return spec.method.key, spec.architecture.key


def _is_small(backbone: Backbone) -> bool:
    if isinstance(backbone, Published):
        return False
    network = backbone.architecture
    if network.modality == "tokens":
        return (network.guessed_flops or 0) <= SMALL_FLOPS
    return network.example_shape[0] <= SMALL_SIDE


def _is_half(spec: Pretraining) -> bool:
    return spec.optimisation.precision != "float32"


def _ratios(parts: Iterable[tuple[K, float, float]]) -> dict[K, float]:
    """Σ amount / Σ seconds, by kind."""
    totals: defaultdict[K, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for kind, amount, seconds in parts:
        totals[kind][0] += amount
        totals[kind][1] += seconds
    return {kind: amount / seconds for kind, (amount, seconds) in totals.items()}


def _flops(amounts: Sequence[int], specs: Sequence[Pretraining]) -> float:
    return float(sum(n * cost(s).flops_per_sample for n, s in zip(amounts, specs, strict=True)))


def _sizes(spec: Pretraining) -> tuple[int, int]:
    """Bytes of the weights, and of the whole state of training."""
    counted = cost(spec)
    return counted.weights_bytes, state_bytes(counted, spec.optimisation)


def _selections_bytes(specs: Sequence[Pretraining]) -> int:
    chosen = {
        (s.source.key, s.size, s.noise.key if s.noise else None, s.seed): s.size for s in specs
    }
    return BYTES_PER_EXAMPLE * sum(chosen.values())


def _adapt_s(
    cells: Sequence[Cell], measured: dict[str, float], guess: bool = False
) -> float | None:
    """Of one core, extraction of features included; None where only a ``guess`` could tell."""
    if not guess and any(
        not _is_small(c.backbone) and c.adaptation.name not in measured for c in cells
    ):
        return None
    adapt = sum(
        measured.get(c.adaptation.name, SECONDS_PER_CELL[c.adaptation.inputs]) for c in cells
    )
    extracted = {(c.backbone.key, c.task.key) for c in cells if c.adaptation.inputs == "features"}
    return adapt + SECONDS_PER_EXTRACTION * len(extracted)


def _measured_cells(store: Store) -> dict[str, float]:
    records = Ledger(store).read()
    if records.is_empty():
        return {}
    means = records.unique("cell").group_by("adaptation").agg(pl.col("seconds").mean()).iter_rows()
    return dict(means)


def _tera(speed: float) -> str:
    return f"{speed / 1e12:.3g} TFLOP/s"
