"""The role of pre-training data in transfer learning (Entezari et al. 2023, arXiv 2302.13602).

Which of seven sources teaches most, at equal size and as it grows, by captions (CLIP), by labels
(supervised) or by augmentation alone (SimCLR); and does it matter once there are many examples of
the task? ``--scale laptop`` asks it of seven scripts of rendered characters and adds captions
shuffled on purpose; ``--scale paper`` is the published grid, for which ``raystudy plan`` needs no
data.

The laptop scale transfers to scikit-learn's handwritten digits, the paper scale to the paper's nine
tasks. What the paper got from others' checkpoints (LAION-400M, LAION-2B, OpenAI) is not here.
"""

from typing import Any, Literal, get_args

from raystudy.adapt.linear_probe import LinearProbe
from raystudy.adapt.recipes import CLIP_FINE_TUNE, SIMCLR_FINE_TUNE
from raystudy.adapt.zero_shot import ZeroShot
from raystudy.claims.label_noise import NoiseHurtsAtEverySize
from raystudy.claims.more_data import MoreDataHelpsFewShotMost
from raystudy.claims.source_spread import SourceSpreadShrinks
from raystudy.kinds import Source
from raystudy.laws.power import OffsetPower
from raystudy.laws.pure_power import Power
from raystudy.methods.clip import CLIP
from raystudy.methods.simclr import SimCLR
from raystudy.methods.supervised import Supervised
from raystudy.noise.shuffled_captions import ShuffledCaptions
from raystudy.recipes import CLIP_RN50, SIMCLR_RN50, SUPERVISED_RN50, Recipe
from raystudy.sources.captioned import Captioned
from raystudy.sources.cc3m import CC3M
from raystudy.sources.cc12m import CC12M
from raystudy.sources.glyphs import Glyphs, Script
from raystudy.sources.imagenet import ImageNet
from raystudy.sources.imagenet_captions import ImageNetCaptions
from raystudy.sources.laion400m import LAION400M
from raystudy.sources.redcaps import RedCaps
from raystudy.sources.shutterstock import Shutterstock
from raystudy.sources.wit import WIT
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
from raystudy.tasks.camera_traps import CameraTraps
from raystudy.tasks.cassava import Cassava
from raystudy.tasks.cifar100 import CIFAR100
from raystudy.tasks.digits import Digits
from raystudy.tasks.domain_net import DomainNet
from raystudy.tasks.dtd import DTD
from raystudy.tasks.euro_sat import EuroSAT
from raystudy.tasks.pets import Pets

TASK = Digits()
Claims = tuple[Any, ...]


def study(
    scale: Literal["laptop", "paper"] = "laptop", seeds: int = 3, data: str = "data"
) -> Study:
    """``--seeds`` paired seeds; ``--data`` the folder or URL below which the paper's data lies."""
    common: dict[str, Any] = {"seeds": tuple(range(seeds))}
    grids, claims = paper(data, common) if scale == "paper" else laptop(common)
    return Study(
        name="role-of-pretraining-data" + ("" if scale == "laptop" else f"-{scale}"),
        title="The role of pre-training data in transfer learning",
        grids=grids,
        law=OffsetPower() if scale == "paper" else Power(),  # three sizes leave no room for a floor
        claims=claims,
    )


# The published grid.

MILLION = 1_000_000
EQUAL = 2_700_000
"""The size at which all seven sources are compared; CC-3M has no more."""
CURVE = (1 * MILLION, EQUAL, 5 * MILLION, 7_500_000, 9_600_000, 15 * MILLION)


def paper(data: str, common: dict[str, Any]) -> tuple[tuple[Grid, ...], Claims]:
    """Seven sources in their sizes by CLIP, and at equal size by SimCLR; ImageNet by its labels, by
    captions made of them, and by those that were found; and no pre-training at all."""
    cc3m = CC3M(path=f"{data}/cc3m")
    laion = LAION400M(path=f"{data}/laion400m")
    curves: tuple[tuple[Source, tuple[int, ...]], ...] = (
        (laion, CURVE),
        (YFCC15M(path=f"{data}/yfcc15m"), CURVE),
        (Shutterstock(path=f"{data}/shutterstock"), CURVE),
        (CC12M(path=f"{data}/cc12m"), CURVE[:5]),
        (RedCaps(path=f"{data}/redcaps"), (*CURVE[:5], 12 * MILLION)),
        (WIT(path=f"{data}/wit"), CURVE[:3]),
    )
    imagenet = ImageNet(path=f"{data}/imagenet")
    found = ImageNetCaptions(path=f"{data}/imagenet-captions")
    tasks = (
        CIFAR100(path=f"{data}/cifar-100"),
        DTD(path=f"{data}/dtd"),
        Caltech101(path=f"{data}/caltech101"),
        Pets(path=f"{data}/pets"),
        DomainNet(path=f"{data}/domain_net", domain="real"),
        DomainNet(path=f"{data}/domain_net", domain="clipart"),
        CameraTraps(path=f"{data}/camera_traps", places="cis"),
        Cassava(path=f"{data}/cassava"),
        EuroSAT(path=f"{data}/eurosat"),
    )
    common = common | {"tasks": tasks}
    by_name = {"adaptations": (LinearProbe(), CLIP_FINE_TUNE)}
    by_examples = {"adaptations": (LinearProbe(), SIMCLR_FINE_TUNE)}

    def grid(recipe: Recipe, sizes: tuple[int, ...], *sources: Source, **how: Any) -> Grid:
        return recipe.grid(sources=sources, sizes=sizes, **common, **(how or by_name))

    clip = (
        grid(CLIP_RN50.lasting(16, batch_size=512), (EQUAL,), cc3m),
        *(grid(CLIP_RN50, sizes, source) for source, sizes in curves),
        grid(CLIP_RN50.lasting(32), (463_000,), found),
        grid(CLIP_RN50.lasting(90), (1_281_167,), Captioned(source=imagenet)),
    )
    others = (
        grid(SIMCLR_RN50, (EQUAL,), cc3m, *(source for source, _ in curves), **by_examples),
        grid(SUPERVISED_RN50, (1_281_167,), imagenet, **by_examples),
    )
    zero_shot = [g.model_copy(update={"adaptations": (ZeroShot(),)}) for g in clip]
    scratch = others[1].model_copy(
        update={"methods": (), "architectures": (CLIP_RN50.architecture,)}
    )
    about: dict[str, Any] = {"adaptation": CLIP_FINE_TUNE.name, "method": "clip"}
    claims = [
        claim
        for task in tasks
        for claim in (
            SourceSpreadShrinks(task=task.name, size=EQUAL, low_shots="10", **about),
            MoreDataHelpsFewShotMost(task=task.name, source=laion.name, **about),
        )
    ]
    return (*clip, *zero_shot, *others, scratch), tuple(claims)


# The same questions at the size of a laptop.

RESNET = Architecture(
    name="resnet18",
    args={"layers": [1, 1, 1, 1], "channels": [24, 48, 96, 192]},
    preprocessing=Preprocessing(image_size=24, grayscale=True, standardise="image"),
)
SIZES = (500, 1_500, 4_500)
SMALL_EQUAL = 1_500
"""At which the other methods are compared with CLIP; sources are at every size."""
SHUFFLED = ShuffledCaptions(rate=0.6)


def laptop(common: dict[str, Any]) -> tuple[tuple[Grid, ...], Claims]:
    """Seven scripts in three sizes by CLIP, at equal size by the other methods too, and one script
    with captions that belong to other images."""
    latin, *others = (
        Glyphs(script=script, num_examples=5_000, image_size=24) for script in get_args(Script)
    )
    clip = Grid(
        methods=(CLIP(),),
        sources=(latin, *others),
        sizes=SIZES,
        architectures=(RESNET,),
        budget=Budget(epochs=2),
        optimisation=Optimisation(learning_rate=6e-3),
        augmentation=Augmentation(
            rotation_degrees=15, scale=0.25, shear=0.2, translation=0.08, low_resolution=(7, 14)
        ),
        tasks=(TASK,),
        adaptations=(LinearProbe(),),
        **common,
    )

    def but(**changes: object) -> Grid:
        return clip.model_copy(update=changes)

    about: dict[str, Any] = {"task": TASK.name, "adaptation": "linear-probe", "method": "clip"}
    return (
        clip,
        but(methods=(Supervised(), SimCLR()), sizes=(SMALL_EQUAL,)),
        but(sources=(latin,), noises=(SHUFFLED,)),
        but(methods=()),
    ), (
        SourceSpreadShrinks(size=SIZES[-1], **about),
        MoreDataHelpsFewShotMost(source="latin", **about),
        NoiseHurtsAtEverySize(source="latin", shots="10", noise=SHUFFLED.name, **about),
    )
