"""A study of seconds, as a user would write one: the tests run it, kill it and run it again."""

from raystudy.adapt.linear_probe import LinearProbe
from raystudy.adapt.zero_shot import ZeroShot
from raystudy.laws.power import OffsetPower
from raystudy.methods.clip import CLIP
from raystudy.methods.simclr import SimCLR
from raystudy.methods.supervised import Supervised
from raystudy.noise.symmetric import Symmetric
from raystudy.sources.glyphs import Glyphs
from raystudy.spec import Architecture, Augmentation, Budget, Grid, Preprocessing, Study
from raystudy.tasks.digits import Digits

TINY = Architecture(
    name="resnet18",
    args={"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]},
    preprocessing=Preprocessing(image_size=16, grayscale=True, standardise="image"),
)


def study(seeds: int = 1, epochs: float = 12, sizes: tuple[int, ...] = (64, 256)) -> Study:
    grid = Grid(
        methods=(Supervised(),),
        sources=(Glyphs(script="latin", num_examples=300, image_size=16),),
        sizes=sizes,
        architectures=(TINY,),
        budget=Budget(epochs=epochs, batch_size=16, chunk_size=8),
        augmentation=Augmentation(rotation_degrees=10, low_resolution=(7, 14)),
        tasks=(Digits(),),
        adaptations=(LinearProbe(), ZeroShot()),
        shots=(1, 5, "full"),
        seeds=tuple(range(seeds)),
    )
    noisy = grid.model_copy(update={"noises": (Symmetric(rate=0.5),)})
    others = grid.model_copy(update={"methods": (CLIP(), SimCLR()), "sizes": sizes[:1]})
    return Study(name="small", grids=(grid, noisy, others), law=OffsetPower())
