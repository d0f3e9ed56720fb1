"""Training on contexts of tokens: what a step and a look at the validation contexts are.

Shapes: N contexts of T + 1 tokens, V tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from raystudy.adapt.loop import Run, Tuned, search
from raystudy.kinds import Examples, Floats
from raystudy.optimiser import build_optimiser
from raystudy.spec import Optimisation
from raystudy.views import device

if TYPE_CHECKING:
    from raystudy.adapt.fine_tune_decoder import FineTuneDecoder

MAX_LOGITS = 1 << 22
"""In memory at once where nothing is learnt."""


def tune(
    spec: FineTuneDecoder,
    beginning: nn.Module,
    train: Examples,
    validation: Examples,
    seed: int,
) -> Tuned:
    """``beginning``, trained to its early-stopped optimum; it stays as it is. Raises
    FloatingPointError if every learning rate diverges."""
    problem = _Contexts(train, validation)

    def begin(rate: float) -> Run:
        recipe = Optimisation(learning_rate=rate, weight_decay=spec.weight_decay)

        def optimiser(model: nn.Module) -> torch.optim.Optimizer:
            built = build_optimiser(model, recipe)
            for group in built.param_groups:
                group["lr"] = rate
            return built

        def schedule(built: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
            warmup = spec.warmup_steps + 1
            return torch.optim.lr_scheduler.LambdaLR(
                built, lambda step: min(1.0, (step + 1) / warmup)
            )

        return Run(problem, beginning, optimiser, schedule, spec.batch_size, spec.clip_norm, seed)

    return search(spec.learning_rates, begin, spec.looks(), spec.patience, spec.least_gain)


def log_probabilities(model: nn.Module, contexts: NDArray[Any]) -> NDArray[np.float32]:
    """The mean log-probability of the T tokens that follow others, in nats, of contexts (N, T + 1).
    Shape (N,)."""
    where = next(model.parameters()).device
    batch = max(1, MAX_LOGITS // (contexts.shape[1] * _vocabulary(model)))
    parts = [np.empty(0, np.float32)]
    model.eval()
    with torch.inference_mode():
        for first in range(0, len(contexts), batch):
            tokens = torch.from_numpy(contexts[first : first + batch].astype(np.int64)).to(where)
            logits_NxVxT = model(tokens[:, :-1]).float().transpose(1, 2)
            losses = cross_entropy(logits_NxVxT, tokens[:, 1:], reduction="none")
            parts.append(-losses.mean(1).cpu().numpy())
    return np.concatenate(parts)


def predictor(model: nn.Module) -> Callable[[NDArray[Any]], Floats]:
    """Contexts uint16 (N, T + 1) → the mean log-probability of their tokens, (N, 1). The model
    visits the accelerator for as long as it is asked."""

    def predict(contexts: NDArray[Any]) -> Floats:
        try:
            return log_probabilities(model.to(device()), contexts)[:, None]
        finally:
            model.cpu()

    return predict


def cost(tuned: Tuned, context: int) -> dict[str, float]:
    """``Tuned.cost`` of contexts of so many tokens."""
    return tuned.cost(torch.zeros(1, context, dtype=torch.int64))


class _Contexts:
    """Contexts, of which each token is predicted from those before it."""

    def __init__(self, train: Examples, validation: Examples) -> None:
        self.num_train = len(train)
        self._device = device()
        self._train = torch.from_numpy(train.array.astype(np.int64))
        self._validation = validation.array

    def loss(self, model: nn.Module, rows: list[int], step: int) -> Tensor:
        tokens = self._train[rows].to(self._device)
        logits_NxTxV = model(tokens[:, :-1])
        return cross_entropy(logits_NxTxV.flatten(0, 1).float(), tokens[:, 1:].flatten())

    def validation_loss(self, model: nn.Module) -> float:
        return -float(log_probabilities(model, self._validation).mean(dtype=np.float64))


def check(model: nn.Module, *examples: Examples) -> None:
    """Raise ValueError for contexts that are not the model's."""
    for contexts in (e.array for e in examples):
        length, most = contexts.shape[1] - 1, _context(model)
        if length > most:
            raise ValueError(f"contexts of {length:,} tokens for a decoder of {most:,}")
        if contexts.max(initial=0) >= _vocabulary(model):
            raise ValueError(
                f"token {int(contexts.max())} is outside the decoder's vocabulary of "
                f"{_vocabulary(model):,}; give it as many as the tokeniser has"
            )


def _vocabulary(model: nn.Module) -> int:
    return int(model.get_parameter("tokens.weight").shape[0])


def _context(model: nn.Module) -> int:
    return int(model.get_parameter("positions.weight").shape[0])
