"""A shift that is a part of the test split is neither read nor predicted again."""

import numpy as np
import polars as pl

from raystudy.adapt.finetune import FineTune
from raystudy.adapt.linear_probe import LinearProbe
from raystudy.kinds import Integers
from raystudy.ledger import Ledger
from raystudy.spec import Architecture, Cell, Initialisation, Preprocessing
from raystudy.stages.adapt import adapt, units
from raystudy.store import Store
from raystudy.tasks.glyph_domains import GlyphDomains

TINY = Architecture(
    name="resnet18",
    args={"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]},
    preprocessing=Preprocessing(image_size=16, grayscale=True, standardise="image"),
)


class AllAnew(GlyphDomains):
    """The same domains, of which every part is a test set of its own."""

    def part(self, shift: str) -> Integers | None:
        return None


def logits(cell: Cell, store: Store) -> pl.DataFrame:
    for unit in units([cell]):
        adapt(unit, store)
    found = Ledger(store).predictions([cell.key])
    return found.drop("cell").sort("split", "id")


def test_parts_are_what_reading_them_anew_gives(store: Store) -> None:
    for adaptation in (LinearProbe(), FineTune(num_steps=2)):
        of = {
            cls: logits(
                Cell(
                    backbone=Initialisation(architecture=TINY),
                    task=cls(held_out="printed", images_per_domain=100),
                    adaptation=adaptation,
                    shots="full",
                ),
                store,
            )
            for cls in (GlyphDomains, AllAnew)
        }
        one, other = of[GlyphDomains], of[AllAnew]
        assert one.select("split", "id", "label").equals(other.select("split", "id", "label"))
        a, b = (np.array(f["logits"].to_list()) for f in (one, other))
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
        sizes = dict(one.group_by("split").len().iter_rows())
        assert (sizes["test"], sizes["test-in"], sizes["test-out"]) == (100, 80, 20)


def test_what_is_of_no_class_has_no_accuracy(store: Store) -> None:
    cell = Cell(
        backbone=Initialisation(architecture=TINY),
        task=GlyphDomains(held_out="printed", images_per_domain=100),
        adaptation=LinearProbe(),
        shots="full",
    )
    logits(cell, store)
    splits = Ledger(store).read([cell.key]).filter(metric="accuracy")["split"]
    assert sorted(splits) == ["test", "test-in", "test-out", "validation"]
    assert "test-unknown" in set(Ledger(store).predictions([cell.key])["split"])
