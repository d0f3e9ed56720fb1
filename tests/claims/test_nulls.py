"""No claim is called supported where it is not so; benchmarks/verdicts.py counts it in full."""

import pytest

from .nulls import WORLDS, verdicts

NUM_STUDIES = 40


@pytest.mark.parametrize("world", WORLDS, ids=lambda w: w.name)
def test_support_that_is_not_there_is_seldom_found(world):
    """At 5 % in 40 studies, more than 6 come up once in two hundred times."""
    assert list(verdicts(world, NUM_STUDIES, 3)).count("supported") <= 6


def test_every_claim_has_a_world_in_which_it_is_not_so():
    from pathlib import Path

    import raystudy.claims

    files = {p.stem for p in Path(raystudy.claims.__path__[0]).glob("*.py")}
    named = {type(world.claim).__module__.rpartition(".")[2] for world in WORLDS}
    assert files - named == {"__init__", "accuracies", "suite"}


@pytest.mark.parametrize("world", WORLDS, ids=lambda w: w.name)
def test_more_coverage_is_a_wider_interval(world):
    import numpy as np

    records = world.draw(np.random.default_rng(5), 4)
    wide, narrow = (
        world.claim.model_copy(update={"coverage": c}).judge(records) for c in (0.99, 0.9)
    )
    assert wide.low < narrow.low
    assert wide.high > narrow.high
    assert wide.effect == pytest.approx(narrow.effect)
