"""How much data of its own is a pre-training worth? Scaling laws for transfer, one file for texts
and for images.

Models of several sizes N learn a task from D_F of its examples, from scratch and after
pre-training, each to its early-stopped optimum at the best of the same learning rates. The data
that the model from scratch needs to do as well is D_E; what pre-training stood for is
D_T = D_E − D_F, for which Hernandez et al. 2021 (arXiv 2102.01293) find D_T = k·D_F^α·N^β: α says
how near what was learnt before lies to the task (smaller is nearer), β how far the model
generalises. Their nearer pre-training is a half of the farther one and a half of something else.

``--modality image``: small ResNets, rendered symbols against an even mixture of symbols and printed
letters and digits, handwritten digits. D_F counts images; when to stop and at which rate is chosen
on 200 more, in both arms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from raystudy.adapt.finetune import FineTune
from raystudy.claims.nearer_transfers import NearerHasSmallerExponent
from raystudy.claims.size_transfers import TransferGrowsWithSize
from raystudy.laws.effective_data import EffectiveData
from raystudy.methods.supervised import Supervised
from raystudy.sources.glyphs import Glyphs
from raystudy.sources.mixture import Mixture
from raystudy.spec import (
    Architecture,
    Augmentation,
    Budget,
    Grid,
    Optimisation,
    Preprocessing,
    Study,
)
from raystudy.tasks.digits import Digits

Scale = Literal["laptop", "paper", "tiny"]


def study(
    scale: Scale = "laptop",
    modality: Literal["text", "image"] = "image",
    seeds: int = 4,
    more_scratch: str = "",
) -> Study:
    """``--seeds`` paired seeds; ``--more-scratch 25,35`` adds from-scratch points (examples of each
    class of an image task, contexts of a text) where the report says that D_E is not bracketed;
    ``--scale tiny`` is a smoke test of a minute."""
    every = tuple(range(seeds))
    try:
        more = tuple(int(number) for number in more_scratch.split(",") if number.strip())
    except ValueError as error:
        raise ValueError(f"more_scratch={more_scratch!r} is not a list as in 25,35") from error
    if modality == "text":
        return text(scale, every, more)
    return image(scale, every, more)


def text(scale: Scale, seeds: tuple[int, ...], more: tuple[int, ...]) -> Study:
    raise ValueError("--modality=text has no grid yet; take --modality image")


# Rendered characters, and handwritten digits.


def image(scale: Scale, seeds: tuple[int, ...], more: tuple[int, ...]) -> Study:
    if scale == "paper":
        raise ValueError("--scale=paper is the published study, of text; take --modality text")
    tiny = scale == "tiny"
    pool = 400 if tiny else 6_400
    latin, symbols = (
        Glyphs(script=s, num_examples=pool, image_size=16) for s in ("latin", "symbols")
    )
    both = Mixture(sources=(symbols, latin), label="symbols + latin")
    digits = Digits()
    common: dict[str, Any] = {
        "architectures": tuple(resnet(width) for width in ((4, 8) if tiny else (6, 12, 24))),
        "tasks": (digits,),
        "adaptations": (TINY_TUNING if tiny else TUNING,),
        "seeds": seeds,
    }
    pretrained = Grid(
        methods=(Supervised(),),
        sources=(symbols, both),
        sizes=(pool,),
        budget=Budget(epochs=1 if tiny else 8, batch_size=128),
        optimisation=Optimisation(learning_rate=1e-2),
        augmentation=VIEWS,
        shots=(1, 2) if tiny else (1, 2, 5, 10),
        **common,
    )
    few = (1, 2, 5, 20) if tiny else (1, 2, 3, 5, 10, 20, 40, 80)
    scratch = Grid(shots=tuple(sorted({*few, *more})), **common)
    return asked("image", scale, (scratch, pretrained), digits.name, (both.name, symbols.name))


def resnet(width: int) -> Architecture:
    return Architecture(
        name="resnet18",
        args={"layers": [1, 1, 1, 1], "channels": [width, 2 * width, 4 * width, 8 * width]},
        preprocessing=Preprocessing(image_size=16, grayscale=True, standardise="image"),
        label=f"resnet, {width} wide",
    )


VIEWS = Augmentation(
    rotation_degrees=15, scale=0.25, shear=0.2, translation=0.08, low_resolution=(7, 14)
)
TUNING = FineTune(learning_rates=(1e-3, 3e-3, 1e-2), num_steps=200, evaluate_every=20, patience=3)
TINY_TUNING = FineTune(learning_rates=(3e-3,), num_steps=20, evaluate_every=10, patience=2)
"""Of both arms alike: neither is favoured by how hard it was tried."""


def asked(
    modality: str, scale: Scale, grids: Sequence[Grid], task: str, near_and_far: tuple[str, str]
) -> Study:
    """The study of these grids, and what it asks of them."""
    near, far = near_and_far
    return Study(
        name=f"transfer-laws-{modality}" + ("" if scale == "laptop" else f"-{scale}"),
        title="How much data of its own is a pre-training worth?",
        grids=tuple(grids),
        law=EffectiveData(),
        claims=(
            NearerHasSmallerExponent(task=task, near=near, far=far),
            TransferGrowsWithSize(task=task, source=near),
            TransferGrowsWithSize(task=task, source=far),
        ),
    )
