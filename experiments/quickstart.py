"""The quickstart: a complete transfer-learning scaling study in one file, with no download.

Which pre-training data teaches a small network to read handwriting? Three sources of rendered
characters (latin, greek and cyrillic, symbols), five sizes, three rates of label noise and three
methods, carried over to scikit-learn's 1,797 real handwritten digits with 1 to 80 examples a class.
"""

from typing import Literal

from raystudy.adapt.finetune import FineTune
from raystudy.adapt.linear_probe import LinearProbe
from raystudy.adapt.zero_shot import ZeroShot
from raystudy.claims.label_noise import NoiseHurtsAtEverySize
from raystudy.claims.source_spread import SourceSpreadShrinks
from raystudy.laws.power import OffsetPower
from raystudy.methods.clip import CLIP
from raystudy.methods.simclr import SimCLR
from raystudy.methods.supervised import Supervised
from raystudy.noise.symmetric import Symmetric
from raystudy.sources.glyphs import Glyphs
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

# A stock timm ResNet cut down to 0.7M parameters.
RESNET = Architecture(
    name="resnet18",
    args={"layers": [1, 1, 1, 1], "channels": [24, 48, 96, 192]},
    preprocessing=Preprocessing(image_size=24, grayscale=True, standardise="image"),
)
# Handwriting is slanted, off-centre and, here, eight pixels high: the views say so.
VIEWS = Augmentation(
    rotation_degrees=15, scale=0.25, shear=0.2, translation=0.08, low_resolution=(7, 14)
)
GENTLE_VIEWS = Augmentation(rotation_degrees=10, scale=0.1, shear=0.1, translation=0.06)


def study(seeds: int = 3, scale: Literal["laptop", "tiny"] = "laptop") -> Study:
    """``--seeds`` paired seeds; ``--scale tiny`` is a smoke test of a minute."""
    tiny = scale == "tiny"
    sizes = (128, 256, 512) if tiny else (400, 800, 1_600, 3_200, 6_400)
    pool = 600 if tiny else 8_000
    latin, greek, symbols = (
        Glyphs(script=s, num_examples=pool, image_size=24) for s in ("latin", "greek", "symbols")
    )
    digits, probe = Digits(), LinearProbe()
    finetune = FineTune(
        learning_rates=(3e-3,), num_steps=20 if tiny else 80, augmentation=GENTLE_VIEWS
    )
    every_seed = tuple(range(seeds))

    pretrained = Grid(
        methods=(Supervised(),),
        sources=(latin, greek, symbols),
        sizes=sizes,
        architectures=(RESNET,),
        budget=Budget(epochs=2),
        optimisation=Optimisation(learning_rate=6e-3),
        augmentation=VIEWS,
        tasks=(digits,),
        adaptations=(probe,),
        seeds=every_seed,
    )

    def but(**changes: object) -> Grid:
        return pretrained.model_copy(update=changes)

    largest = sizes[-1]
    return Study(
        name="quickstart" if not tiny else "quickstart-tiny",
        title="Which pre-training data teaches a small network to read handwriting?",
        grids=(
            pretrained,
            but(sources=(latin,), noises=(Symmetric(rate=0.6),)),
            but(sources=(latin,), noises=(Symmetric(rate=0.3),), sizes=sizes[::2]),
            but(sources=(latin,), sizes=(largest,), adaptations=(finetune, ZeroShot())),
            but(
                methods=(CLIP(), SimCLR()),
                sources=(latin,),
                sizes=(largest,),
                adaptations=(probe, ZeroShot()),
            ),
            but(methods=(), adaptations=(probe, finetune)),
        ),
        law=OffsetPower(),
        claims=(
            SourceSpreadShrinks(
                task=digits.name, adaptation=probe.name, method="supervised", size=largest
            ),
            NoiseHurtsAtEverySize(
                task=digits.name,
                adaptation=probe.name,
                method="supervised",
                source="latin",
                shots="10",
                noise="symmetric-0.6",
            ),
        ),
    )
