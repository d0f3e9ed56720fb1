"""Which pre-trained model is accurate and calibrated out of distribution? (Naganuma et al. 2023,
*An Empirical Study of Pre-trained Model Selection for Out-of-Distribution Generalization and
Calibration*, arXiv 2307.08187.)

Does the choice of the model move accuracy on a domain that was never seen more than the choice of
how it is adapted? Do larger models, and models that learnt from more, do better there, and know
better what they do not know? ``--scale laptop`` asks it of fifteen small networks and letters in
four renderings; ``--scale paper`` of the paper's ninety-one models and its four data sets.

What differs from the paper: the head sits on each model's pooled features, images are prepared as
each model's own weights ask for, validation images are not augmented, batch norm stays as in any
fine-tuning, the optimiser is AdamW unless ``--optimiser sgd`` asks for the paper's, and steps are
looked at every 300 with ``--checkpoint best`` and at the end alone with ``last``; at laptop scale
every 25.
"""

from __future__ import annotations

from typing import Any, Literal

from raystudy.adapt.finetune import FineTune
from raystudy.adapt.linear_probe import LinearProbe
from raystudy.claims.model_over_adaptation import ModelOverAdaptation
from raystudy.claims.trend_over_models import TrendOverModels
from raystudy.kinds import Claim, Metric
from raystudy.methods.clip import CLIP
from raystudy.methods.simclr import SimCLR
from raystudy.methods.supervised import Supervised
from raystudy.metrics.augrc import AUGRC
from raystudy.metrics.aurc import AURC
from raystudy.metrics.brier import Brier
from raystudy.metrics.classwise_ece import ClasswiseECE
from raystudy.metrics.ece import ECE
from raystudy.metrics.nll import NegativeLogLikelihood
from raystudy.metrics.ood_auroc import OODAUROC
from raystudy.metrics.ood_fpr95 import OODFPR95
from raystudy.metrics.smooth_ece import SmoothECE
from raystudy.metrics.temperature_scaled import TemperatureScaled
from raystudy.noise.symmetric import Symmetric
from raystudy.sources.glyphs import Glyphs
from raystudy.spec import (
    Architecture,
    Augmentation,
    Budget,
    Grid,
    Optimisation,
    Preprocessing,
    Published,
    Study,
)
from raystudy.tasks.camelyon17 import Camelyon17
from raystudy.tasks.domain_net_held_out import DomainNetHeldOut
from raystudy.tasks.glyph_domains import DOMAINS, GlyphDomains
from raystudy.tasks.office_home import OfficeHome
from raystudy.tasks.pacs import PACS
from raystudy.tasks.vlcs import VLCS

METRICS: tuple[Metric, ...] = (
    ECE(),
    ECE(debiased=True),
    ECE(bins=10),
    ECE(bins=10, binning="mass"),
    SmoothECE(),
    ClasswiseECE(),
    Brier(),
    AURC(),
    AUGRC(),
    TemperatureScaled(metric=ECE()),
    TemperatureScaled(metric=NegativeLogLikelihood()),
    OODAUROC(),
    OODFPR95(),
)
"""The paper has ten bins of equal width in one branch of its code, of equal mass in another."""


def study(
    scale: Literal["laptop", "paper", "tiny"] = "laptop",
    seeds: int = 3,
    data: str = "data",
    optimiser: Literal["adamw", "sgd"] = "adamw",
    checkpoint: Literal["best", "last", "both"] = "best",
) -> Study:
    """``--data`` the folder that holds PACS, OfficeHome and the rest, at paper scale; ``--scale
    tiny`` is a smoke test of a minute. ``--checkpoint both`` fine-tunes twice: the weights that
    validation likes best, and those of the last step, in one table."""
    common: dict[str, Any] = {"shots": ("full",), "seeds": tuple(range(seeds))}
    if scale == "paper":
        grids = paper(data, optimiser, checkpoint, common)
    else:
        grids = laptop(scale == "tiny", optimiser, checkpoint, common)
    variant = [scale] * (scale != "laptop") + [optimiser] * (optimiser != "adamw")
    variant += [checkpoint] * (checkpoint != "best")
    return Study(
        name="-".join(["ood-calibration", *variant]),
        title="Which pre-trained model is accurate and calibrated out of distribution?",
        grids=grids,
        metrics=METRICS,
        claims=claims("fine-tune-last-step" if checkpoint == "last" else "fine-tune"),
    )


def claims(adaptation: str) -> tuple[Claim, ...]:
    trends = (
        TrendOverModels(against=against, of=of, adaptation=adaptation)
        for against in ("parameters", "size")
        for of in ("ood_accuracy", "ood_ece")
    )
    return (ModelOverAdaptation(), *trends)


# Small networks that learnt printed letters, and letters in renderings that they have not seen.

SEEN = Preprocessing(image_size=24, grayscale=True, standardise="image")


def resnet(width: int) -> Architecture:
    return Architecture(
        name="resnet18",
        args={"layers": [1, 1, 1, 1], "channels": [width, 2 * width, 4 * width, 8 * width]},
        preprocessing=SEEN,
        label=f"resnet-{width}",
    )


def laptop(
    tiny: bool,
    optimiser: Literal["adamw", "sgd"],
    checkpoint: Literal["best", "last", "both"],
    common: dict[str, Any],
) -> tuple[Grid, ...]:
    latin, symbols = (
        Glyphs(script=s, num_examples=600 if tiny else 8_000, image_size=24)
        for s in ("latin", "symbols")
    )
    sizes = (128, 512) if tiny else (1_000, 6_000)
    widths = (8, 16) if tiny else (8, 16, 32)
    tasks = tuple(
        GlyphDomains(held_out=d, images_per_domain=100 if tiny else 600)
        for d in DOMAINS[: 1 if tiny else None]
    )
    finetune = FineTune(
        learning_rates=(3e-3,) if tiny else (1e-2, 3e-2),
        num_steps=10 if tiny else 100,
        optimiser=optimiser,
        evaluate_every=5 if tiny else 25,
    )
    every = Grid(
        methods=(Supervised(),),
        sources=(latin, symbols),
        sizes=sizes,
        architectures=tuple(map(resnet, widths)),
        budget=Budget(epochs=3),
        optimisation=Optimisation(learning_rate=6e-3),
        augmentation=Augmentation(
            rotation_degrees=15, scale=0.25, shear=0.2, translation=0.08, low_resolution=(7, 14)
        ),
        tasks=tasks,
        adaptations=(LinearProbe(), *kept(finetune, checkpoint)),
        **common,
    )
    one: dict[str, Any] = {
        "sources": (latin,),
        "sizes": sizes[-1:],
        "architectures": (resnet(widths[1]),),
    }
    return (
        every,
        every.model_copy(update=one | {"methods": (CLIP(), SimCLR())}),
        every.model_copy(update=one | {"noises": (Symmetric(rate=0.6),)}),
        every.model_copy(update={"methods": ()}),
    )


# The models and the data sets of the paper.

NETWORKS: dict[str, tuple[str, ...]] = {
    "resnet50": ("tv", "a1", "a1h", "a2", "a3", "b1k", "b2k", "c1", "c2", "d", "ra", "ram"),
    "resnet101": ("tv", "a1", "a1h", "a2", "a3"),
    "resnet152": ("tv", "a1", "a1h", "a2", "a3"),
    **{f"vgg{depth}": ("tv",) for depth in (11, 13, 16, 19)},
    **{f"tf_efficientnet_b{b}": ("", "aa", "ap", "ns_jft") for b in range(5)},
    "tf_efficientnet_b5": ("", "aa", "ap", "ns_jft", "ra"),
    **{f"tf_efficientnet_lite{lite}": ("",) for lite in range(5)},
    **{
        f"regnety_{size:03d}": ("pycls",)
        for size in (2, 4, 6, 8, 16, 32, 40, 64, 80, 120, 160, 320)
    },
    **{f"convnext_{size}": ("fb",) for size in ("tiny", "small", "base", "large")},
    "vit_tiny_patch16_224": ("augreg_in21k_ft",),
    "vit_small_patch16_224": ("augreg", "augreg_in21k_ft"),
    "vit_base_patch16_224": ("augreg", "augreg_in21k_ft", "orig_in21k_ft", "sam"),
    "vit_large_patch16_224": ("augreg_in21k_ft",),
    "mixer_b16_224": ("goog_in21k_ft",),
    "mixer_l16_224": ("goog_in21k_ft",),
}
"""timm's names, and the tags of weights that ended on ImageNet-1k."""
OTHERS = (
    "convnext_tiny.fb_in22k_ft_in1k",
    "convnext_tiny.in12k_ft_in1k",
    "mixer_b16_224.goog_in21k",
    "mixer_l16_224.goog_in21k",
    "vit_small_patch16_224.dino",
    "vit_base_patch16_224.dino",
    "vit_base_patch16_224.mae",
    "vit_large_patch16_224.mae",
    "vit_huge_patch14_224.mae",
)
MODELS = (
    *(
        f"timm/{name}.{f'{tag}_' if tag else ''}in1k"
        for name, tags in NETWORKS.items()
        for tag in tags
    ),
    *(f"timm/{name}" for name in OTHERS),
)


def paper(
    data: str,
    optimiser: Literal["adamw", "sgd"],
    checkpoint: Literal["best", "last", "both"],
    common: dict[str, Any],
) -> tuple[Grid, ...]:
    rates = (1e-4, 3e-4, 1e-3, 3e-3) if optimiser == "sgd" else (1e-5, 3e-5, 1e-4, 3e-4)
    finetune = FineTune(
        learning_rates=rates,
        num_steps=5_001,
        batch_size=64,
        optimiser=optimiser,
        evaluate_every=300,
        augmentation=Augmentation(random_crop=(0.7, 1.0), flip=True),
        precision="bfloat16",
    )
    return (
        Grid(
            published=tuple(Published(model=model) for model in MODELS),
            tasks=(
                PACS(path=f"{data}/PACS", held_out="art_painting"),
                OfficeHome(path=f"{data}/office_home", held_out="Art"),
                DomainNetHeldOut(path=f"{data}/domain_net", held_out="clipart"),
                VLCS(path=f"{data}/VLCS", held_out="VOC2007"),
                Camelyon17(path=f"{data}/camelyon17_v1.0"),
            ),
            adaptations=(LinearProbe(), *kept(finetune, checkpoint)),
            **common,
        ),
    )


def kept(finetune: FineTune, checkpoint: Literal["best", "last", "both"]) -> tuple[FineTune, ...]:
    """The weights of the best look, of the last step, or of either."""
    last = finetune.model_copy(update={"checkpoint": "last"})
    return {"best": (finetune,), "last": (last,), "both": (finetune, last)}[checkpoint]
