"""One step of training: views, forward, backward, update."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from raystudy.backbone import Objective
from raystudy.model_seed import seed_model
from raystudy.optimiser import Average, build_optimiser, set_rate
from raystudy.randomness import number
from raystudy.spec import Pretraining
from raystudy.stages.batches import Batch
from raystudy.stages.fabric import Fabric
from raystudy.views import training_example

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Learner:
    """An objective, its optimiser and what else changes from step to step."""

    def __init__(self, spec: Pretraining, objective: Objective, fabric: Fabric) -> None:
        self._spec, self._fabric = spec, fabric
        self.objective = objective
        self._model = fabric.wrap(objective).train()
        self._optimiser = build_optimiser(objective, spec.optimisation)
        half = spec.optimisation.precision == "float16"
        self._scaler = torch.amp.GradScaler(fabric.device.type, enabled=half)
        decay = spec.optimisation.ema_decay
        self._average = Average(objective, decay) if decay else None

    def step(self, batch: Batch, rate: float) -> dict[str, Tensor]:
        """Train on a batch at a learning rate. Scalars, with ``loss`` and ``gradient_norm``."""
        spec, o = self._spec, self._spec.optimisation
        set_rate(self._optimiser, rate)
        views, targets = self._examples(batch)
        # Whatever draws from torch's generator inside the model (dropout, say) is a function of
        # (seed, step, worker), and a resumed run repeats it.
        seed_model(number(spec.seed, "model", batch.step, batch.chunks[0]))
        if spec.budget.accumulation > 1:
            metrics = self._accumulate(batch, views, targets)
        else:
            with self._autocast():
                metrics = self._model(views, targets, batch.captions)
            self._scaler.scale(metrics["loss"]).backward()
        self._scaler.unscale_(self._optimiser)
        metrics["gradient_norm"] = nn.utils.clip_grad_norm_(
            self.objective.parameters(), o.clip_norm or float("inf")
        )
        self._scaler.step(self._optimiser)
        self._scaler.update()
        self._optimiser.zero_grad(set_to_none=True)
        with torch.no_grad():
            self.objective.method.constrain(self.objective.parts)
        if self._average:
            self._average.update()
        return {name: value.detach() for name, value in metrics.items()}

    def state(self) -> dict[str, Any]:
        """Everything that the steps so far have changed."""
        state = self._fabric.state(self.objective, self._optimiser)
        state["scaler"] = self._scaler.state_dict()
        if self._average:
            self._average.swap()
            averaged = self._fabric.state(self.objective, self._optimiser)["objective"]
            # Copied, for a state is made of the live weights, which are about to change back.
            state["average"] = {k: v.clone() if v is not None else v for k, v in averaged.items()}
            self._average.swap()
        return state

    def load(self, state: Mapping[str, Any]) -> None:
        if self._average:
            averaged = {"objective": state["average"], "optimiser": state["optimiser"]}
            self._fabric.load(self.objective, self._optimiser, averaged)
            self._average.swap()
        self._fabric.load(self.objective, self._optimiser, state)
        self._scaler.load_state_dict(state["scaler"])

    def _examples(self, batch: Batch) -> tuple[list[Tensor], Tensor]:
        """Views (N, 3, S, S), as many as the method asks for, and the targets of the examples; or
        tokens (N, T) and those that follow. Each chunk draws from generators of its own, so nothing
        depends on which worker it went to."""
        spec, device = self._spec, self._fabric.device
        method, size = spec.method, spec.budget.chunk_size
        inputs = torch.from_numpy(batch.inputs).to(device)
        labels = torch.from_numpy(batch.labels).to(device)
        views, targets = [], labels
        for view in range(method.num_views):
            parts, own_targets = [], []
            shown = inputs[min(view, len(inputs) - 1)].split(size)
            for chunk, part, own in zip(batch.chunks, shown, labels.split(size), strict=True):
                draws = _generator(spec.seed, "views", batch.step, chunk, view)
                part, own = training_example(part, own, spec.architecture, spec.augmentation, draws)
                if method.mixes:
                    draws = _generator(spec.seed, "mix", batch.step, chunk, view)
                    part, own = method.mix(part, own, self.objective.num_classes, draws)
                parts.append(part)
                own_targets.append(own)
            views.append(torch.cat(parts) if len(parts) > 1 else parts[0])
            targets = torch.cat(own_targets)
        return views, targets

    def _accumulate(
        self, batch: Batch, views: Sequence[Tensor], targets: Tensor
    ) -> dict[str, Tensor]:
        """The gradients of the loss over the whole batch, with only a part of it in the backbone at
        a time (Gao et al. 2021, arXiv 2101.06983): features of all parts, then the gradient at the
        features, then each part again, backward from there."""
        parts = [torch.cat(p) for p in zip(*(self._parts(v) for v in views), strict=True)]
        seeds = [
            number(self._spec.seed, "model", batch.step, batch.chunks[0], part)
            for part in range(len(parts))
        ]
        features = []
        with torch.no_grad(), _unmoved_statistics(self.objective.backbone), self._autocast():
            for seed, part in zip(seeds, parts, strict=True):
                seed_model(seed)
                features.append(self.objective.backbone(part).requires_grad_())
        of_views = zip(*(f.chunk(len(views)) for f in features), strict=True)
        with self._autocast():
            metrics = self.objective.method.loss(
                self.objective.parts, [torch.cat(v) for v in of_views], targets, batch.captions
            )
        self._scaler.scale(metrics["loss"]).backward()
        for seed, part, feature in zip(seeds, parts, features, strict=True):
            seed_model(seed)
            with self._autocast():
                again = self.objective.backbone(part)
            again.backward(feature.grad)
        self._fabric.average_gradients(self.objective.parameters())
        return metrics

    def _parts(self, view: Tensor) -> Sequence[Tensor]:
        return view.chunk(self._spec.budget.accumulation)

    def _autocast(self) -> torch.autocast:
        dtype = DTYPES.get(self._spec.optimisation.precision)
        return torch.autocast(self._fabric.device.type, dtype, enabled=dtype is not None)


@contextmanager
def _unmoved_statistics(backbone: nn.Module) -> Iterator[None]:
    """Batch norms keep their running statistics as they are."""
    norms = [m for m in backbone.modules() if isinstance(m, _BatchNorm)]
    held = [(m.momentum, m.num_batches_tracked) for m in norms]
    for norm in norms:
        norm.momentum = 0.0
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked = norm.num_batches_tracked.clone()
    yield
    for norm, (momentum, count) in zip(norms, held, strict=True):
        norm.momentum, norm.num_batches_tracked = momentum, count


def _generator(seed: int, name: str, *item: int) -> torch.Generator:
    return torch.Generator().manual_seed(number(seed, name, *item))
