"""Full fine-tuning: every weight moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from raystudy.kinds import Adaptation, Adapted, Encoder, Examples, Floats
from raystudy.randomness import generator, number
from raystudy.spec import Augmentation, Positive, Rate

if TYPE_CHECKING:
    from torch import nn


class FineTune(Adaptation):
    """AdamW with cosine decay from a head of zeros; the learning rate with the least validation
    loss is kept. On an untrained backbone this is training from scratch."""

    inputs: ClassVar[Literal["features", "images"]] = "images"
    learning_rates: tuple[Annotated[float, Field(gt=0)], ...] = (1e-3,)
    num_steps: Annotated[int, Field(ge=2)] = 100
    batch_size: Positive = 32
    weight_decay: float = 0.05
    warmup_fraction: Rate = 0.1
    augmentation: Augmentation = Augmentation()

    @property
    def name(self) -> str:
        return "fine-tune"

    def adapt(
        self,
        train: Examples,
        validation: Examples,
        encoder: Encoder,
        prompts: Sequence[Sequence[str]],
        seed: int,
    ) -> Adapted:
        import torch
        from torch.nn.functional import cross_entropy

        from raystudy.views import embed

        preprocessing = encoder.preprocessing
        best_loss, best = np.inf, (0.0, None)
        for rate in self.learning_rates:
            model = self._train(train, encoder, len(prompts), rate, seed)
            logits = torch.from_numpy(embed(model, validation.inputs, preprocessing))
            loss = float(cross_entropy(logits, torch.from_numpy(validation.labels)))
            if loss < best_loss:
                best_loss, best = loss, (rate, model)
        rate, model = best
        if model is None:
            raise FloatingPointError(
                f"fine-tuning diverged at every learning rate of {self.learning_rates}"
            )

        def predict(images: NDArray[Any]) -> Floats:
            return embed(model, images, preprocessing)

        return Adapted(predict, {"learning_rate": rate}, num_tried=len(self.learning_rates))

    def _train(
        self, train: Examples, encoder: Encoder, num_classes: int, rate: float, seed: int
    ) -> nn.Module:
        import torch
        from torch import nn
        from torch.nn.functional import cross_entropy

        from raystudy.backbone import num_features
        from raystudy.views import training_view

        backbone = encoder.module
        head = nn.Linear(num_features(backbone), num_classes)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        model = nn.Sequential(backbone, head).train()
        optimiser = torch.optim.AdamW(model.parameters(), rate, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser,
            rate,
            total_steps=self.num_steps,
            pct_start=min(1.0, max(self.warmup_fraction, 1.5 / self.num_steps)),
            cycle_momentum=False,
        )
        images, labels = torch.from_numpy(train.inputs), torch.from_numpy(train.labels)
        views = torch.Generator().manual_seed(number(seed, "fine-tune/views"))
        for step, rows in enumerate(self._batches(len(train), seed)):
            torch.manual_seed(number(seed, "fine-tune/model", step))  # dropout and its like
            x = training_view(images[rows], encoder.preprocessing, self.augmentation, views)
            cross_entropy(model(x), labels[rows]).backward()
            optimiser.step()
            schedule.step()
            optimiser.zero_grad(set_to_none=True)
        return model.eval()

    def _batches(self, num_train: int, seed: int) -> Iterator[list[int]]:
        size = min(self.batch_size, num_train)
        order: list[int] = []
        for step in range(self.num_steps):
            if len(order) < size:
                drawn = generator(seed, "fine-tune/order", step).permutation(num_train)
                order.extend(drawn.tolist())
            yield order[:size]
            del order[:size]
