"""Fine-tuning on images: what a step and a look at the validation examples are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from raystudy.adapt.augment import Views
from raystudy.adapt.loop import Run, Tuned, search
from raystudy.kinds import Examples, Floats
from raystudy.optimiser import scheduled_rate
from raystudy.spec import Optimisation, Preprocessing
from raystudy.views import device, embed

if TYPE_CHECKING:
    from raystudy.adapt.finetune import FineTune

MOMENTUM = 0.9
"""Of SGD."""


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

    def begin(rate: float) -> Run:
        return Run(
            _Pictures(spec, train, validation, preprocessing, seed),
            beginning,
            lambda model: _optimiser(spec, model, rate),
            (lambda optimiser: _schedule(spec, optimiser, num_steps)) if num_steps else None,
            spec.batch_size,
            spec.clip_norm,
            seed,
        )

    every = spec.evaluate_every if spec.checkpoint == "best" else None
    every = every or max(1, num_steps)
    looks = [*range(every, num_steps, every), num_steps]
    return search(spec.learning_rates, begin, looks, spec.patience)


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
    """``Tuned.cost`` of images as they are shown."""
    side = preprocessing.image_size
    return tuned.cost(torch.zeros(1, 3, side, side))


class _Pictures:
    """Images and their classes."""

    def __init__(
        self,
        spec: FineTune,
        train: Examples,
        validation: Examples,
        preprocessing: Preprocessing,
        seed: int,
    ) -> None:
        self.num_train = len(train)
        self._spec, self._device = spec, device()
        self._images = train.array
        self._labels = torch.from_numpy(train.labels).to(self._device)
        self._validation, self._preprocessing = validation, preprocessing
        self._views = Views(spec, preprocessing, seed)

    def loss(self, model: nn.Module, rows: list[int], step: int) -> Tensor:
        spec, device = self._spec, self._device
        images = torch.from_numpy(self._images[rows])  # a copy: they may be on a disk
        x = self._views(images, step, device)
        with torch.autocast(device.type, torch.bfloat16, enabled=spec.precision == "bfloat16"):
            logits = model(x)
        smoothing = spec.label_smoothing
        return cross_entropy(logits.float(), self._labels[rows], label_smoothing=smoothing)

    def validation_loss(self, model: nn.Module) -> float:
        return validation_loss(model, self._validation, self._preprocessing)


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
