"""What do 60,000 pictures of clothes teach about handwriting, and how much do wrong labels cost?

Fashion-MNIST in shards on disk (``benchmarks/fashion.py`` writes them), pre-trained on by label, by
caption and by augmentation alone, carried over to scikit-learn's handwritten digits.
"""

from raystudy.adapt.linear_probe import LinearProbe
from raystudy.laws.power import OffsetPower
from raystudy.methods.clip import CLIP
from raystudy.methods.simclr import SimCLR
from raystudy.methods.supervised import Supervised
from raystudy.noise.symmetric import Symmetric
from raystudy.sources.webdataset import WebDataset
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

RESNET = Architecture(
    name="resnet18",
    args={"layers": [1, 1, 1, 1], "channels": [24, 48, 96, 192]},
    preprocessing=Preprocessing(image_size=24, grayscale=True, standardise="image"),
)


def study(shards: str = "data/fashion", seeds: int = 1, epochs: float = 1.0) -> Study:
    """``--shards`` the folder of tars, ``--seeds`` paired seeds, ``--epochs`` over each subset."""
    supervised = Grid(
        methods=(Supervised(),),
        sources=(WebDataset(path=shards, label="fashion"),),
        sizes=(3_750, 15_000, 60_000),
        noises=(None, Symmetric(rate=0.6)),
        architectures=(RESNET,),
        budget=Budget(epochs=epochs),
        optimisation=Optimisation(learning_rate=6e-3),
        augmentation=Augmentation(random_crop=(0.5, 1.0), flip=True, low_resolution=(7, 16)),
        tasks=(Digits(),),
        adaptations=(LinearProbe(),),
        seeds=tuple(range(seeds)),
    )
    largest = {"sizes": (60_000,), "noises": (None,)}
    return Study(
        name="fashion",
        title="What do 60,000 pictures of clothes teach about handwriting?",
        grids=(
            supervised,
            supervised.model_copy(update={"methods": (CLIP(), SimCLR())} | largest),
            supervised.model_copy(update={"methods": ()}),
        ),
        law=OffsetPower(),
    )
