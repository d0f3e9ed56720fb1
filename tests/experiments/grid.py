"""Three hundred cells and a few more, over backbones that need no pre-training but one."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from raystudy.adapt.k_nearest import KNearest
from raystudy.adapt.linear_probe import LinearProbe
from raystudy.adapt.nearest_class_mean import NearestClassMean
from raystudy.adapt.ridge import Ridge
from raystudy.kinds import Adapted, Encoder, Examples, Probe, Support
from raystudy.methods.supervised import Supervised
from raystudy.sources.glyphs import Glyphs
from raystudy.spec import Architecture, Budget, Grid, Preprocessing, Study
from raystudy.tasks.digits import Digits

TINY = Architecture(
    name="resnet18",
    args={"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]},
    preprocessing=Preprocessing(image_size=16, grayscale=True, standardise="image"),
)


class Blocked(Probe):
    """Fails as long as a file exists."""

    blocker: str

    @property
    def name(self) -> str:
        return "blocked"

    def adapt_all(
        self,
        train: Examples,
        validation: Examples,
        supports: Sequence[Support],
        encoder: Encoder,
        prompts: Sequence[Sequence[str]],
    ) -> Sequence[Adapted]:
        if Path(self.blocker).exists():
            raise FloatingPointError("blocked")
        return [Adapted(lambda x: np.zeros((len(x), 10), np.float32), {}) for _ in supports]


def study(blocker: str = "") -> Study:
    probes = (LinearProbe(), Ridge(), NearestClassMean(), KNearest())
    grid = Grid(
        architectures=(TINY,),
        tasks=(Digits(),),
        adaptations=(*probes, *((Blocked(blocker=blocker),) if blocker else ())),
        shots=(1, 2, 5, 10, 20),
        seeds=tuple(range(15)),
    )
    return Study(name="grid", grids=(grid,))


def early(epochs: int = 100) -> Study:
    """Two pre-trainings of half a minute."""
    grid = Grid(
        methods=(Supervised(),),
        sources=(Glyphs(script="latin", num_examples=300, image_size=16),),
        sizes=(250, 300),
        architectures=(TINY,),
        budget=Budget(epochs=epochs, batch_size=16, chunk_size=8),
        tasks=(Digits(),),
        adaptations=(NearestClassMean(),),
        shots=(1,),
        seeds=(0,),
    )
    return Study(name="early", grids=(grid,))
