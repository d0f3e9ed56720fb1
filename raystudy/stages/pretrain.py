"""Pre-train one backbone: read top to bottom."""

import json
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from raystudy.backbone import build_objective
from raystudy.cost import flops_per_sample
from raystudy.optimiser import scheduled_rate
from raystudy.shards.table import MAX_NAMED
from raystudy.spec import Pretraining, Trunk
from raystudy.stages import checkpoints
from raystudy.stages.batches import Batch, by_reason, noted_faults
from raystudy.stages.beginning import STATE, first_state
from raystudy.stages.fabric import Fabric
from raystudy.stages.learner import Learner
from raystudy.stages.meter import Interval, Meter
from raystudy.stages.select import Selection
from raystudy.trunks import own_samples

log = logging.getLogger(__name__)

Curve = list[tuple[int, dict[str, float]]]


class HopelessError(RuntimeError):
    """A pre-training stops, with its reason; the study goes on. Every worker raises it at the same
    step."""


class DivergedError(HopelessError):
    """The loss is no longer finite."""


class BadDataError(HopelessError):
    """More examples turn out to be damaged than may be."""


class StoreError(HopelessError):
    """A checkpoint cannot be written. Those written before are intact."""


def pretrain(
    spec: Pretraining,
    selection: Selection,
    batches: Callable[[int], Iterator[Batch]],
    fabric: Fabric,
    trunks: Iterable[Trunk] = (),
) -> None:
    """Train to the end of the budget and publish the result in the store.

    ``batches(first_step)`` yields this worker's share of each global step from there on. A run that
    was interrupted goes on from its last checkpoint, one that begins with one of ``trunks`` goes on
    from its end; either ends with the same weights as if it had been trained in one go.
    Raises HopelessError.
    """
    meter = Meter(fabric.device)
    learner = Learner(spec, build_objective(spec, selection.num_classes), fabric)
    step, curve, spent_s = 0, [], 0.0
    if state := first_state(fabric.store, spec, trunks):
        learner.load(state)
        step, curve, spent_s = state["step"], state["curve"], state["spent_s"]
        for point in curve:  # again, for a watcher that was gone before it heard
            fabric.report(*point)
        log.info("%s begins at step %d of %d", spec.key, step, spec.num_steps)

    def progress() -> dict[str, Any]:
        return {"step": step, "curve": curve, "spent_s": spent_s + meter.seconds}

    interval = Interval(spec)
    for batch in batches(step):
        rate = scheduled_rate(step, spec.num_steps, spec.optimisation)
        metrics = learner.step(batch, rate)
        step += 1
        interval.note(batch)
        if interval.ends_at(step):
            means = fabric.mean(metrics | interval.shares() | _troubles(fabric))
            _stop_if_hopeless(spec, step, means, fabric)
            curve.append((step, interval.point(step, rate, means)))
            fabric.report(*curve[-1])
        if fabric.checkpoint_is_due() and step < spec.num_steps:
            fabric.save(learner.state() | progress())

    if step != spec.num_steps:
        raise RuntimeError(f"the stream of {spec.key} ended at step {step} of {spec.num_steps}")
    fabric.flush()
    state = learner.state() | progress()
    if fabric.rank == 0:
        _publish(spec, selection, state, fabric, meter, trunks)


def _troubles(fabric: Fabric) -> dict[str, Tensor]:
    return {"store_failed": torch.tensor(float(fabric.store_error is not None))}


def _stop_if_hopeless(
    spec: Pretraining, step: int, means: dict[str, float], fabric: Fabric
) -> None:
    """What all workers agree on."""
    if not math.isfinite(means["loss"]):
        raise DivergedError(f"loss is {means['loss']} at step {step} of {spec.num_steps}")
    if means["bad_rate"] > fabric.max_bad_rate:
        raise BadDataError(_bad_data(spec, means["bad_rate"], fabric))
    if means.pop("store_failed"):
        kept = checkpoints.last_step(fabric.store, spec.key)
        raise StoreError(
            f"a checkpoint cannot be written to {fabric.store.url}: {fabric.store_error}; "
            f"the one of step {kept} is kept: make room and run the study again"
        )


def _bad_data(spec: Pretraining, rate: float, fabric: Fabric) -> str:
    noted = noted_faults(fabric.store, spec)
    reasons = ", ".join(f"{reason} ({count:,})" for reason, count in by_reason(noted).items())
    first = ", ".join(list(noted)[:10])
    return (
        f"{rate:.1%} of the examples of source '{spec.source.name}' are damaged, over the "
        f"{fabric.max_bad_rate:.1%} of --max-bad-rate: {reasons}; the first: {first}"
    )


def _publish(
    spec: Pretraining,
    selection: Selection,
    state: Mapping[str, Any],
    fabric: Fabric,
    meter: Meter,
    trunks: Iterable[Trunk],
) -> None:
    faults = noted_faults(fabric.store, spec)
    curve: Curve = state["curve"]
    own = own_samples(spec, trunks)
    facts = meter.facts(fabric.num_workers, own, state["spent_s"]) | {
        "num_steps": spec.num_steps,
        "own_samples": own,
        "samples_seen": spec.samples_seen,
        "flops_per_sample": flops_per_sample(spec, selection.num_classes),
        "realised_noise": selection.realised_noise,
        "class_names": selection.class_names,
        "left_out": selection.left_out,
        "faults": by_reason(faults),
        "faulty_examples": list(faults)[:MAX_NAMED],
        "final": curve[-1][1] if curve else {},
    }
    with fabric.store.writing(spec.room, spec, **facts) as (folder, _):
        (folder / "curve.json").write_text(json.dumps(curve))
        if isinstance(spec, Trunk):
            torch.save(state, folder / STATE)
        else:
            weights = state.get("average", state["objective"])
            weights = {name: value.contiguous() for name, value in weights.items()}
            save_file(weights, folder / "objective.safetensors")
    checkpoints.remove(fabric.store, spec.key)
    fabric.store.remove("faults", spec.key)
