"""Pre-train one backbone: read top to bottom."""

import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from raystudy.backbone import build_objective
from raystudy.randomness import number
from raystudy.shards.table import MAX_NAMED
from raystudy.spec import Optimisation, Pretraining
from raystudy.stages.batches import Batch, by_reason, noted_faults
from raystudy.stages.fabric import Fabric
from raystudy.stages.select import Selection
from raystudy.views import training_view

log = logging.getLogger(__name__)

NUM_CURVE_POINTS = 25
Curve = list[tuple[int, dict[str, float]]]


class DivergedError(RuntimeError):
    """The loss is no longer finite: the run stops, the study goes on."""


class BadDataError(RuntimeError):
    """More examples turn out to be damaged than may be: the run stops, the study goes on."""


def pretrain(
    spec: Pretraining,
    selection: Selection,
    batches: Callable[[int], Iterator[Batch]],
    fabric: Fabric,
) -> None:
    """Train to the end of the budget and publish the result in the store.

    ``batches(first_step)`` yields this worker's share of each global step from there on. A run that
    was interrupted goes on from its last checkpoint and ends with the same weights.
    Raises DivergedError, BadDataError.
    """
    started = time.perf_counter()
    objective = build_objective(spec, selection.num_classes)
    model = fabric.wrap(objective)
    optimiser = torch.optim.AdamW(
        _parameter_groups(objective, spec.optimisation.weight_decay), fused=True
    )
    step, curve, spent_s = 0, [], 0.0
    if state := fabric.restore():
        objective.load_state_dict(state["objective"])
        optimiser.load_state_dict(state["optimiser"])
        step, curve, spent_s = state["step"], state["curve"], state["spent_s"]
        for point in curve:  # again, for a watcher that was gone before it heard
            fabric.report(*point)
        log.info("%s resumes at step %d of %d", spec.key, step, spec.num_steps)

    every = max(1, spec.num_steps // NUM_CURVE_POINTS)
    waited_s, since = 0.0, time.perf_counter()
    num_bad, num_seen = 0, 0
    model.train()
    for batch in batches(step):
        learning_rate = scheduled_rate(step, spec.num_steps, spec.optimisation)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate
        metrics = _train_step(model, optimiser, batch, spec, fabric.device)
        step += 1
        waited_s += batch.waited_s
        num_bad, num_seen = num_bad + batch.num_bad, num_seen + len(batch.labels)
        if step % every == 0 or step == spec.num_steps:
            metrics["bad_rate"] = torch.tensor(num_bad / num_seen)
            means = fabric.mean(metrics)
            if not math.isfinite(means["loss"]):
                raise DivergedError(f"loss is {means['loss']} at step {step} of {spec.num_steps}")
            if means["bad_rate"] > fabric.max_bad_rate:
                raise BadDataError(_bad_data(spec, means["bad_rate"], fabric))
            elapsed = time.perf_counter() - since
            point = means | {
                "learning_rate": learning_rate,
                "samples_seen": float(step * spec.budget.batch_size),
                "samples_per_s": every * spec.budget.batch_size / elapsed,
                "data_wait_share": min(1.0, waited_s / elapsed),
            }
            curve.append((step, point))
            fabric.report(step, point)
            waited_s, since = 0.0, time.perf_counter()
        if fabric.checkpoint_is_due() and step < spec.num_steps:
            fabric.save(
                {
                    "objective": objective.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "step": step,
                    "curve": curve,
                    "spent_s": spent_s + time.perf_counter() - started,
                }
            )

    if step != spec.num_steps:
        raise RuntimeError(f"the stream of {spec.key} ended at step {step} of {spec.num_steps}")
    if fabric.rank == 0:
        spent_s += time.perf_counter() - started
        _publish(spec, selection, objective, curve, fabric, spent_s)


def scheduled_rate(step: int, num_steps: int, optimisation: Optimisation) -> float:
    """Linear warm-up over a fraction of the run, then cosine to zero."""
    warmup_steps = int(optimisation.warmup_fraction * num_steps)
    if step < warmup_steps:
        return optimisation.learning_rate * (step + 1) / (warmup_steps + 1)
    progress = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    return optimisation.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def _train_step(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    spec: Pretraining,
    device: torch.device,
) -> dict[str, Tensor]:
    # Whatever draws from torch's generator inside the model (dropout, say) is then a function of
    # (seed, step, worker), and a resumed run repeats it.
    torch.manual_seed(number(spec.seed, "model", batch.step, batch.chunks[0]))
    views = _views(batch, spec, device)
    labels = torch.from_numpy(batch.labels).to(device)
    metrics = model(views, labels, batch.captions)
    metrics["loss"].backward()
    if spec.optimisation.clip_norm:
        metrics["gradient_norm"] = nn.utils.clip_grad_norm_(
            model.parameters(), spec.optimisation.clip_norm
        )
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return {name: value.detach() for name, value in metrics.items()}


def _views(batch: Batch, spec: Pretraining, device: torch.device) -> list[Tensor]:
    # Each chunk draws its views from a generator of its own, so they do not depend on which
    # worker it went to.
    images = torch.from_numpy(batch.images).to(device)
    views = []
    for view in range(spec.method.num_views):
        parts = []
        shown = images[min(view, len(images) - 1)].split(spec.budget.chunk_size)
        for chunk, part in zip(batch.chunks, shown, strict=True):
            generator = torch.Generator().manual_seed(
                number(spec.seed, "views", batch.step, chunk, view)
            )
            parts.append(
                training_view(part, spec.architecture.preprocessing, spec.augmentation, generator)
            )
        views.append(torch.cat(parts) if len(parts) > 1 else parts[0])
    return views


def _bad_data(spec: Pretraining, rate: float, fabric: Fabric) -> str:
    noted = noted_faults(fabric.store, spec)
    reasons = ", ".join(f"{reason} ({count:,})" for reason, count in by_reason(noted).items())
    first = ", ".join(list(noted)[:10])
    return (
        f"{rate:.1%} of the examples of source '{spec.source.name}' are damaged, over the "
        f"{fabric.max_bad_rate:.1%} of --max-bad-rate: {reasons}; the first: {first}"
    )


def _parameter_groups(objective: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Vectors and scalars (biases, norms, temperature) are not decayed."""
    matrices = [p for p in objective.parameters() if p.ndim > 1]
    others = [p for p in objective.parameters() if p.ndim <= 1]
    return [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def _publish(
    spec: Pretraining,
    selection: Selection,
    objective: nn.Module,
    curve: Curve,
    fabric: Fabric,
    spent_s: float,
) -> None:
    faults = noted_faults(fabric.store, spec)
    facts = {
        "spent_s": round(spent_s, 3),
        "num_steps": spec.num_steps,
        "samples_seen": spec.samples_seen,
        "num_workers": fabric.num_workers,
        "realised_noise": selection.realised_noise,
        "class_names": selection.class_names,
        "left_out": selection.left_out,
        "faults": by_reason(faults),
        "faulty_examples": list(faults)[:MAX_NAMED],
        "final": curve[-1][1] if curve else {},
    }
    with fabric.store.writing("pretrainings", spec, **facts) as (folder, _):
        state = {name: value.contiguous() for name, value in objective.state_dict().items()}
        save_file(state, folder / "objective.safetensors")
        (folder / "curve.json").write_text(json.dumps(curve))
    fabric.store.remove("checkpoints", f"{spec.key}.pt")
    fabric.store.remove("faults", spec.key)
