"""The loop of training: run at each learning rate, keep what validation likes best."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from raystudy.model_seed import seed_model
from raystudy.randomness import generator, number
from raystudy.views import device

log = logging.getLogger(__name__)


class Problem(Protocol):
    """What is learnt from, and what judges it. The model is on ``raystudy.views.device()``."""

    num_train: int

    def loss(self, model: nn.Module, rows: list[int], step: int) -> Tensor:
        """To be minimised, of some of the training examples."""
        ...

    def validation_loss(self, model: nn.Module) -> float:
        """Of all validation examples."""
        ...


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
    ran_out: bool = False
    """Whether its run came to the last look without losing patience."""

    @property
    def chosen(self) -> dict[str, float | str]:
        losses = " ".join(f"{rate:g}:{loss:.4g}" for rate, loss in self.losses.items())
        return {"learning_rate": self.rate, "step": self.step, "validation_losses": losses}

    def cost(self, example: Tensor) -> dict[str, float]:
        """``flops``: of all that was trained, where ``example`` is a batch of one and a backward
        pass takes as many as two forward ones; looks at validation examples are left out.
        ``stored_bytes``: every parameter, in single precision."""
        return {
            "flops": 3.0 * self.num_samples * forward_flops(self.model, example),
            "stored_bytes": 4.0 * sum(p.numel() for p in self.model.parameters()),
        }


def forward_flops(model: nn.Module, example: Tensor) -> int:
    """Two for a multiplication and its addition; of matrix products, convolutions and attention."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(example)
    return counter.get_total_flops()


class Run:
    """Training at one learning rate, as far as it is asked."""

    def __init__(
        self,
        problem: Problem,
        beginning: nn.Module,
        optimiser: Callable[[nn.Module], torch.optim.Optimizer],
        schedule: Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler] | None,
        batch_size: int,
        clip_norm: float | None,
        seed: int,
    ) -> None:
        self.problem, self.step = problem, 0
        self._device, self._seed, self._clip_norm = device(), seed, clip_norm
        self.model = copy.deepcopy(beginning).to(self._device)
        self._batch_size = min(batch_size, problem.num_train)
        self._batches = _batches(problem.num_train, self._batch_size, seed)
        self._optimiser = optimiser(self.model)
        self._schedule = schedule(self._optimiser) if schedule else None

    @property
    def num_samples(self) -> int:
        return self.step * self._batch_size

    def advance(self, until: int) -> None:
        """Train up to ``until`` steps in all; the global generators stay as they are."""
        devices = [self._device] if self._device.type == "cuda" else []
        self.model.train()
        with torch.random.fork_rng(devices=devices):
            while self.step < until:
                self._advance(next(self._batches))
        self.model.eval()

    def _advance(self, rows: list[int]) -> None:
        seed_model(number(self._seed, "fine-tune/model", self.step))  # dropout and its like
        self.problem.loss(self.model, rows, self.step).backward()
        if self._clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), self._clip_norm)
        self._optimiser.step()
        if self._schedule:
            self._schedule.step()
        self._optimiser.zero_grad(set_to_none=True)
        self.step += 1


def search(
    rates: Sequence[float],
    begin: Callable[[float], Run],
    looks: Iterable[int],
    patience: int | None,
    least_gain: float = 0.0,
) -> Tuned:
    """The best of ``begin(rate)`` for all ``rates``, each judged at the steps of ``looks`` until
    ``patience`` of them in a row were no better by more than ``least_gain`` in all. Learning rates
    that diverge are left out.

    Raises FloatingPointError if all do.
    """
    best: Tuned | None = None
    losses: dict[float, float] = {}
    num_samples, looks = 0, list(looks)
    for rate in rates:
        run = begin(rate)
        loss, step, ran_out = _best_look(run, looks, patience, least_gain)
        num_samples += run.num_samples
        losses[rate] = loss
        if not math.isfinite(loss):
            log.warning("learning rate %g diverged by step %d and is left out", rate, run.step)
        elif best is None or loss < best.loss:
            best = Tuned(run.model.cpu(), rate, loss, step, losses, ran_out=ran_out)
    if best is None:
        raise FloatingPointError(f"fine-tuning diverged at every learning rate of {tuple(rates)}")
    return replace(best, num_samples=num_samples)


def _best_look(
    run: Run, looks: list[int], patience: int | None, least_gain: float
) -> tuple[float, int, bool]:
    """The least validation loss, its step, and whether all of ``looks`` were taken; ``run.model``
    ends with the weights of that step."""
    best, step, kept, worse, ran_out = math.nan, 0, None, 0, True
    beaten = math.nan
    """The loss when ``worse`` was last set to zero."""
    for until in looks:
        run.advance(until)
        loss = run.problem.validation_loss(run.model)
        if math.isnan(loss):  # no weight comes back from that
            break
        if not best <= loss:
            best, step = loss, run.step
            kept = copy.deepcopy(run.model.state_dict()) if len(looks) > 1 else None
        if not beaten - least_gain <= loss:
            beaten, worse = loss, 0
        else:
            worse += 1
            if worse == patience:
                ran_out = False
                break
    if kept is not None:
        run.model.load_state_dict(kept)
    return best, step, ran_out


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
