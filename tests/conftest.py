"""A study small enough to run whole in seconds, on sources made on the spot."""

from pathlib import Path

import pytest

from raystudy.adapt.finetune import FineTune
from raystudy.adapt.linear_probe import LinearProbe
from raystudy.adapt.zero_shot import ZeroShot
from raystudy.methods.supervised import Supervised
from raystudy.noise.symmetric import Symmetric
from raystudy.sources.glyphs import Glyphs
from raystudy.spec import Architecture, Augmentation, Budget, Grid, Preprocessing, Study
from raystudy.store import Store
from raystudy.tasks.digits import Digits

TINY = Architecture(
    name="resnet18",
    args={"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]},
    preprocessing=Preprocessing(image_size=16, grayscale=True, standardise="image"),
)


@pytest.fixture
def study() -> Study:
    grid = Grid(
        methods=(Supervised(),),
        sources=(Glyphs(script="latin", num_examples=300, image_size=16),),
        sizes=(64, 128),
        noises=(None, Symmetric(rate=0.5)),
        architectures=(TINY,),
        budget=Budget(epochs=3, batch_size=16, chunk_size=8),
        augmentation=Augmentation(rotation_degrees=10, low_resolution=(7, 14)),
        tasks=(Digits(),),
        adaptations=(LinearProbe(), ZeroShot()),
        shots=(1, 5),
        seeds=(0,),
    )
    tuned = FineTune(num_steps=3)
    baseline = grid.model_copy(update={"methods": (), "adaptations": (tuned,)})
    return Study(name="small", grids=(grid, baseline))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")
