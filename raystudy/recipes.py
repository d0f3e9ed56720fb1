"""Pre-trainings by name, as papers ran them: method, architecture, budget, optimisation and views.

A recipe is a value to derive from: ``CLIP_RN50.lasting(32)`` is the same for 32 epochs, and
``CLIP_RN50.grid(sources=…, sizes=…, tasks=…, adaptations=…)`` a grid that pre-trains in this way.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import SerializeAsAny

from raystudy.kinds import Method, Spec
from raystudy.methods.clip import CLIP
from raystudy.methods.simclr import SimCLR
from raystudy.methods.supervised import Supervised
from raystudy.spec import Architecture, Augmentation, Budget, Grid, Optimisation


class Recipe(Spec):
    """How to pre-train, whatever the data."""

    kind: ClassVar[str] = "Recipe"
    method: SerializeAsAny[Method]
    architecture: Architecture
    budget: Budget = Budget()
    optimisation: Optimisation = Optimisation()
    augmentation: Augmentation = Augmentation()

    def lasting(self, epochs: float, **changes: Any) -> Recipe:
        """The same for so many epochs; ``changes`` are of its budget."""
        budget = self.budget.model_copy(update={"epochs": epochs} | changes)
        return self.model_copy(update={"budget": budget})

    def grid(self, **axes: Any) -> Grid:
        """A grid of this recipe over sources, sizes, tasks and so on."""
        return Grid(
            methods=(self.method,),
            architectures=(self.architecture,),
            budget=self.budget,
            optimisation=self.optimisation,
            augmentation=self.augmentation,
            **axes,
        )


MIXED: dict[str, Any] = {"precision": "bfloat16"}
"""All three were trained in mixed precision; bfloat16 needs no scaling of the loss."""

CLIP_RN50 = Recipe(
    method=CLIP(text="RN50", projects_images=False),
    architecture=Architecture(name="open_clip/RN50"),
    budget=Budget(epochs=16, batch_size=1024),
    optimisation=Optimisation(
        learning_rate=1e-3, weight_decay=0.1, warmup_steps=5_000, clip_norm=None, **MIXED
    ),
    augmentation=Augmentation(random_crop=(0.9, 1.0)),
)
"""CLIP of Entezari et al. (2023, arXiv 2302.13602), which is OpenCLIP's: RN50, text of 12 layers,
512 wide, 77 tokens. Batches of 512 on CC-3M, 32 epochs on half a million pairs, 90 on ImageNet."""

SIMCLR_RN50 = Recipe(
    method=SimCLR(projector_layers=3, projector_hidden=4096, projector_width=256),
    architecture=CLIP_RN50.architecture,
    budget=Budget(epochs=16, batch_size=1024),
    optimisation=Optimisation(
        learning_rate=1e-3,
        weight_decay=0.1,
        betas=(0.9, 0.98),
        warmup_fraction=2 / 16,
        clip_norm=None,
        **MIXED,
    ),
    augmentation=Augmentation(random_crop=(0.08, 1.0), flip=True),
)
"""SimCLR of the same paper, which is SLIP's (Mu et al. 2021, arXiv 2112.12750): 1,024 features,
temperature 0.1, two epochs of warm-up. Their views also jitter colours and blur, which ours do not
know yet."""

SUPERVISED_RN50 = Recipe(
    method=Supervised(),
    architecture=Architecture(name="resnet50"),
    budget=Budget(epochs=90, batch_size=1024),
    optimisation=Optimisation(
        optimiser="sgd",
        learning_rate=0.4,
        weight_decay=1e-4,
        warmup_fraction=5 / 90,
        clip_norm=None,
        **MIXED,
    ),
    augmentation=Augmentation(random_crop=(0.08, 1.0), flip=True),
)
"""ResNet-50 for 90 epochs, of which the paper says no more. The rest is Goyal et al. (2017, arXiv
1706.02677): SGD, 0.1 for each 256 of the batch, five epochs of warm-up; then half a cosine."""
