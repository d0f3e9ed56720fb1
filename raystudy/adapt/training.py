"""The loop of fine-tuning: train at each learning rate, keep what validation likes best."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from raystudy.adapt.augment import Views
from raystudy.kinds import Examples, Floats
from raystudy.optimiser import scheduled_rate
from raystudy.randomness import generator, number
from raystudy.spec import Optimisation, Preprocessing
from raystudy.views import device, embed

if TYPE_CHECKING:
    from raystudy.adapt.finetune import FineTune

log = logging.getLogger(__name__)

MOMENTUM = 0.9
"""Of SGD."""


@dataclass(frozen=True)
class Tuned:
    """The best of all learning rates, in evaluation mode on the CPU."""

    model: nn.Module
    rate: float
    loss: float
    step: int
    """At which its weights were taken."""
    losses: Mapping[float, float]
    """Learning rate → its least validation loss; NaN where it diverged."""
    num_samples: int = 0
    """That were trained on, at all learning rates together."""

    @property
    def chosen(self) -> dict[str, float | str]:
        losses = " ".join(f"{rate:g}:{loss:.4g}" for rate, loss in self.losses.items())
        return {"learning_rate": self.rate, "step": self.step, "validation_losses": losses}


def tune(
    spec: FineTune,
    beginning: nn.Module,
    train: Examples,
    validation: Examples,
    preprocessing: Preprocessing,
    seed: int,
) -> Tuned:
    """``beginning``, fine-tuned; it stays as it is. Learning rates that diverge are left out.

    Raises FloatingPointError if all do.
    """
    num_steps = spec.steps_for(len(train))
    best: Tuned | None = None
    losses: dict[float, float] = {}
    num_samples = 0
    for rate in spec.learning_rates:
        run = _Run(spec, beginning, rate, num_steps, train, preprocessing, seed)
        loss, step = _best_look(run, spec, validation)
        num_samples += run.num_samples
        losses[rate] = loss
        if not math.isfinite(loss):
            log.warning("learning rate %g diverged by step %d and is left out", rate, run.step)
        elif best is None or loss < best.loss:
            best = Tuned(run.model.cpu(), rate, loss, step, losses)
    if best is None:
        raise FloatingPointError(
            f"fine-tuning diverged at every learning rate of {spec.learning_rates}"
        )
    return replace(best, num_samples=num_samples)


def validation_loss(model: nn.Module, validation: Examples, preprocessing: Preprocessing) -> float:
    """Mean cross-entropy."""
    logits = torch.from_numpy(embed(model, validation.array, preprocessing))
    return float(cross_entropy(logits, torch.from_numpy(validation.labels)))


def predictor(model: nn.Module, preprocessing: Preprocessing) -> Callable[[NDArray[Any]], Floats]:
    """Images uint8 (N, H, W, 3) → logits (N, C). The model visits the accelerator for as long as it
    is asked, since those of many cells wait together."""

    def predict(images: NDArray[Any]) -> Floats:
        try:
            return embed(model.to(device()), images, preprocessing)
        finally:
            model.cpu()

    return predict


def cost(tuned: Tuned, preprocessing: Preprocessing) -> dict[str, float]:
    """``flops``: a backward pass takes as many as two forward ones; looks at validation examples
    are left out. ``stored_bytes``: every parameter, in single precision."""
    return {
        "flops": 3.0 * tuned.num_samples * forward_flops(tuned.model, preprocessing),
        "stored_bytes": 4.0 * sum(p.numel() for p in tuned.model.parameters()),
    }


def forward_flops(model: nn.Module, preprocessing: Preprocessing) -> int:
    """Of one image: two for a multiplication and its addition; of matrix products, convolutions
    and attention."""
    from torch.utils.flop_counter import FlopCounterMode

    side = preprocessing.image_size
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(torch.zeros(1, 3, side, side))
    return counter.get_total_flops()


class _Run:
    """Training at one learning rate, as far as it is asked."""

    def __init__(
        self,
        spec: FineTune,
        beginning: nn.Module,
        rate: float,
        num_steps: int,
        train: Examples,
        preprocessing: Preprocessing,
        seed: int,
    ) -> None:
        self.num_steps, self.step = num_steps, 0
        self.preprocessing = preprocessing
        self._spec, self._seed = spec, seed
        self._device = device()
        self.model = copy.deepcopy(beginning).to(self._device)
        self._images = train.array
        self._labels = torch.from_numpy(train.labels).to(self._device)
        self._views = Views(spec, preprocessing, seed)
        self._batches = _batches(len(train), min(spec.batch_size, len(train)), seed)
        self._optimiser = _optimiser(spec, self.model, rate)
        self._schedule = _schedule(spec, self._optimiser, num_steps) if num_steps else None

    @property
    def num_samples(self) -> int:
        return self.step * min(self._spec.batch_size, len(self._labels))

    def advance(self, until: int) -> None:
        """Train up to ``until`` steps in all; the global generators stay as they are."""
        devices = [self._device] if self._device.type == "cuda" else []
        self.model.train()
        with torch.random.fork_rng(devices=devices):
            while self.step < until:
                self._advance(next(self._batches))
        self.model.eval()

    def _advance(self, rows: list[int]) -> None:
        spec, device = self._spec, self._device
        images = torch.from_numpy(self._images[rows])  # a copy: they may be on a disk
        torch.manual_seed(number(self._seed, "fine-tune/model", self.step))  # dropout and its like
        x = self._views(images, self.step, device)
        with torch.autocast(device.type, torch.bfloat16, enabled=spec.precision == "bfloat16"):
            logits = self.model(x)
        smoothing = spec.label_smoothing
        cross_entropy(logits.float(), self._labels[rows], label_smoothing=smoothing).backward()
        if spec.clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), spec.clip_norm)
        self._optimiser.step()
        if self._schedule:
            self._schedule.step()
        self._optimiser.zero_grad(set_to_none=True)
        self.step += 1


def _best_look(run: _Run, spec: FineTune, validation: Examples) -> tuple[float, int]:
    """The least validation loss and its step; ``run.model`` ends with the weights of that step."""
    best, step, kept, worse = math.nan, 0, None, 0
    looks = spec.evaluate_every if spec.checkpoint == "best" else None
    every = looks or max(1, run.num_steps)
    for until in [*range(every, run.num_steps, every), run.num_steps]:
        run.advance(until)
        loss = validation_loss(run.model, validation, run.preprocessing)
        if math.isnan(loss):  # no weight comes back from that
            break
        if not best <= loss:
            best, step, worse = loss, run.step, 0
            kept = copy.deepcopy(run.model.state_dict()) if looks else None
        else:
            worse += 1
            if worse == spec.patience:
                break
    if kept is not None:
        run.model.load_state_dict(kept)
    return best, step


def _optimiser(spec: FineTune, model: nn.Module, rate: float) -> torch.optim.Optimizer:
    """Over ``model`` = (backbone, head), in groups of one learning rate and decay each."""
    scales: dict[str, float] = {}
    if spec.layer_decay is not None:
        from raystudy.adapt.layer_decay import layer_scales

        backbone: Any = model[0]  # pyright: ignore[reportIndexIssue]
        scales = {f"0.{n}": s for n, s in layer_scales(backbone, spec.layer_decay).items()}
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        decays = spec.decays_vectors or parameter.ndim > 1
        place = (rate * scales.get(name, 1.0), spec.weight_decay if decays else 0.0)
        groups.setdefault(place, []).append(parameter)
    given = [{"params": p, "lr": lr, "weight_decay": decay} for (lr, decay), p in groups.items()]
    if spec.optimiser == "sgd":
        return torch.optim.SGD(given, lr=rate, momentum=MOMENTUM)
    return torch.optim.AdamW(given)


def _schedule(
    spec: FineTune, optimiser: torch.optim.Optimizer, num_steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    if spec.schedule == "cosine":
        o = Optimisation(learning_rate=1.0, warmup_fraction=spec.warmup_fraction)
        return torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: scheduled_rate(step, num_steps, o)
        )
    return torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        [group["lr"] for group in optimiser.param_groups],
        total_steps=num_steps,
        pct_start=min(1.0, max(spec.warmup_fraction, 1.5 / num_steps)),
        cycle_momentum=False,
    )


def _batches(num_train: int, size: int, seed: int) -> Iterator[list[int]]:
    """Rows of each step, without end: one shuffled pass over the examples after the other."""
    order: list[int] = []
    step = 0
    while True:
        if len(order) < size:
            drawn = generator(seed, "fine-tune/order", step).permutation(num_train)
            order.extend(drawn.tolist())
        yield order[:size]
        del order[:size]
        step += 1
