"""Claims on transfer where the truth is known."""

import numpy as np
import polars as pl
import pytest

from raystudy.claims.nearer_transfers import NearerHasSmallerExponent
from raystudy.claims.size_transfers import TransferGrowsWithSize

from ..laws.transfers import World
from .nulls import SMALL, of_transfer

TRUE = World({"web": (300.0, 0.4, 0.4), "code": (900.0, 0.1, 0.4)}, **SMALL)
NEARER = NearerHasSmallerExponent(task="digits", near="code", far="web")


def ledger(world: World = TRUE, num_seeds: int = 4) -> pl.DataFrame:
    return of_transfer(world, np.random.default_rng(0), num_seeds)


def test_the_nearer_source_has_the_smaller_exponent() -> None:
    found = NEARER.judge(ledger())
    assert found.status == "supported"
    assert found.low < -0.3 < found.high
    assert found.freedom == 3
    assert "from 6 points after code" in found.detail


def test_the_other_way_round_it_is_contradicted() -> None:
    turned = NEARER.model_copy(update={"near": "web", "far": "code"})
    assert turned.judge(ledger()).status == "contradicted"


def test_larger_models_transfer_more() -> None:
    for arm in TRUE.arms:
        found = TransferGrowsWithSize(task="digits", source=arm).judge(ledger())
        assert found.status == "supported"
        assert found.low < 0.4 < found.high


def test_one_seed_decides_nothing() -> None:
    found = NEARER.judge(ledger(num_seeds=1))
    assert (found.status, found.low, found.high) == ("undecided", -np.inf, np.inf)


def test_a_model_alone_has_no_law() -> None:
    alone = ledger().filter(pl.col("parameters") == 30_000)
    for claim in (NEARER, TransferGrowsWithSize(task="digits", source="web")):
        with pytest.raises(ValueError, match="two model sizes"):
            claim.judge(alone)
