"""One pre-training of some hundred steps, to be interrupted while it runs."""

from raystudy.adapt.linear_probe import LinearProbe
from raystudy.methods.supervised import Supervised
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


def study(steps: int = 300) -> Study:
    grid = Grid(
        methods=(Supervised(label_smoothing=0.1),),
        sources=(Glyphs(script="latin", num_examples=300, image_size=16),),
        sizes=(256,),
        architectures=(
            Architecture(
                name="resnet18",
                args={"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16], "drop_rate": 0.1},
                preprocessing=Preprocessing(image_size=16, grayscale=True),
            ),
        ),
        budget=Budget(samples=16 * steps, batch_size=16, chunk_size=8),
        optimisation=Optimisation(ema_decay=0.99),
        augmentation=Augmentation(rotation_degrees=10, low_resolution=(7, 14)),
        tasks=(Digits(),),
        adaptations=(LinearProbe(),),
        shots=(1,),
        seeds=(0,),
    )
    return Study(name="interrupted", grids=(grid,))
