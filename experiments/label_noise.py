"""What do wrong labels cost, in size? Sizes × noise rates × seeds, and the exchange between them.

Wrong labels that are drawn anew for every example (symmetric) and ones that always fall on the
class next in order (pair) corrupt a source from 0 to 80 %, at each size. The report ends in data
multipliers against clean labels, and in one law for all sizes and rates: n examples with a share r
of wrong labels count as n·(1 − r)^q clean ones. ``--scale laptop`` asks it of rendered characters
and handwritten digits; ``--scale paper`` of ImageNet's labels and of captions that were found with
their images, carried over to five data sets.

Bansal et al. 2022 (arXiv 2202.01994) find for translation that noise costs a constant factor in
size and leaves the exponent of the law; Rolnick et al. 2017 (arXiv 1705.10694) that networks learn
from labels of which most are wrong, if there are more of them.
"""

from __future__ import annotations

from typing import Any, Literal

from raystudy.adapt.finetune import FineTune
from raystudy.adapt.linear_probe import LinearProbe
from raystudy.claims.label_noise import NoiseHurtsAtEverySize
from raystudy.claims.noise_costs_more import NoiseCostsMoreThanItsExamples
from raystudy.claims.noise_keeps_exponent import NoiseKeepsExponent
from raystudy.kinds import Claim, Noise, Task
from raystudy.laws.power import OffsetPower
from raystudy.laws.pure_power import Power
from raystudy.methods.supervised import Supervised
from raystudy.noise.pair import Pair
from raystudy.noise.shuffled_captions import ShuffledCaptions
from raystudy.noise.symmetric import Symmetric
from raystudy.recipes import CLIP_RN50, SUPERVISED_RN50
from raystudy.sources.glyphs import Glyphs
from raystudy.sources.imagenet import ImageNet
from raystudy.sources.yfcc15m import YFCC15M
from raystudy.spec import (
    Architecture,
    Augmentation,
    Budget,
    Grid,
    Optimisation,
    Preprocessing,
    Study,
)
from raystudy.tasks.caltech101 import Caltech101
from raystudy.tasks.cifar100 import CIFAR100
from raystudy.tasks.digits import Digits
from raystudy.tasks.dtd import DTD
from raystudy.tasks.euro_sat import EuroSAT
from raystudy.tasks.pets import Pets

RATES = (0.2, 0.4, 0.6, 0.8)
ORDERED = (0.2, 0.4)
"""Of pair noise: above one half nobody could tell wrong from right."""


def study(
    scale: Literal["laptop", "paper", "tiny"] = "laptop", seeds: int = 3, data: str = "data"
) -> Study:
    """``--seeds`` paired seeds; ``--data`` the folder or URL below which the paper scale's data
    lies; ``--scale tiny`` is a smoke test of a minute."""
    common: dict[str, Any] = {"seeds": tuple(range(seeds))}
    grids, claims = paper(data, common) if scale == "paper" else laptop(scale == "tiny", common)
    return Study(
        name="label-noise" + ("" if scale == "laptop" else f"-{scale}"),
        title="What do wrong labels cost, in size?",
        grids=grids,
        law=Power() if scale == "laptop" else OffsetPower(),  # no floor comes into sight there
        claims=claims,
    )


def questions(task: Task, method: str, source: str, wrong: Noise) -> tuple[Claim, ...]:
    about: dict[str, Any] = {
        "task": task.name,
        "adaptation": "linear-probe",
        "method": method,
        "source": source,
        "shots": "10",
        "noise": wrong.name,
    }
    return (
        NoiseHurtsAtEverySize(**about),
        NoiseKeepsExponent(**about),
        NoiseCostsMoreThanItsExamples(**about),
    )


# Printed characters with wrong names, and handwritten digits.

RESNET = Architecture(
    name="resnet18",
    args={"layers": [1, 1, 1, 1], "channels": [24, 48, 96, 192]},
    preprocessing=Preprocessing(image_size=24, grayscale=True, standardise="image"),
)


def laptop(tiny: bool, common: dict[str, Any]) -> tuple[tuple[Grid, ...], tuple[Claim, ...]]:
    sizes = (128, 256, 512) if tiny else (400, 800, 1_600, 3_200, 6_400)
    symmetric = tuple(Symmetric(rate=rate) for rate in (RATES[1:3] if tiny else RATES))
    pair = tuple(Pair(rate=rate) for rate in ORDERED)
    latin, digits = Glyphs(script="latin", num_examples=8_000, image_size=24), Digits()
    every = Grid(
        methods=(Supervised(),),
        sources=(latin,),
        sizes=sizes,
        noises=(None, *symmetric, *pair),
        architectures=(RESNET,),
        budget=Budget(epochs=2),
        optimisation=Optimisation(learning_rate=6e-3),
        augmentation=Augmentation(
            rotation_degrees=15, scale=0.25, shear=0.2, translation=0.08, low_resolution=(7, 14)
        ),
        tasks=(digits,),
        adaptations=(LinearProbe(),),
        shots=(1, 10, "full"),
        **common,
    )
    claims = questions(digits, "supervised", latin.name, symmetric[-2])
    return (every, every.model_copy(update={"methods": ()})), claims


# ImageNet with wrong labels, and captions on the wrong images.


def paper(data: str, common: dict[str, Any]) -> tuple[tuple[Grid, ...], tuple[Claim, ...]]:
    imagenet, yfcc = ImageNet(path=f"{data}/imagenet"), YFCC15M(path=f"{data}/yfcc15m")
    common |= {
        "tasks": (
            CIFAR100(path=f"{data}/cifar-100"),
            DTD(path=f"{data}/dtd"),
            Caltech101(path=f"{data}/caltech101"),
            Pets(path=f"{data}/pets"),
            EuroSAT(path=f"{data}/eurosat"),
        ),
        "adaptations": (LinearProbe(), FineTune(learning_rates=(1e-4, 3e-4, 1e-3, 3e-3))),
        "shots": (1, 10, "full"),
    }
    wrong = tuple(Symmetric(rate=rate) for rate in RATES)
    shuffled = tuple(ShuffledCaptions(rate=rate) for rate in RATES)
    labels = SUPERVISED_RN50.grid(
        sources=(imagenet,),
        sizes=(80_000, 160_000, 320_000, 640_000, 1_281_167),
        noises=(None, *wrong, *(Pair(rate=rate) for rate in ORDERED)),
        **common,
    )
    captions = CLIP_RN50.grid(
        sources=(yfcc,), sizes=(1_000_000, 2_700_000, 7_500_000), noises=(None, *shuffled), **common
    )
    first: Task = common["tasks"][0]
    return (labels, captions), (
        *questions(first, labels.methods[0].name, imagenet.name, wrong[-2]),
        *questions(first, captions.methods[0].name, yfcc.name, shuffled[-2]),
    )
