import math

import numpy as np
import polars as pl
import pytest

from raystudy.claims.worth_more import WorthMoreData

claim = WorthMoreData(
    task="digits",
    adaptation="linear_probe",
    better_method="supervised",
    better_source="labels",
    worse_method="clip",
    worse_source="web",
    at_least=15,
)
SIZES = [1000, 4000, 16_000, 64_000]


def error(size):
    return 10 + 2000 * np.asarray(size, dtype=float) ** -0.5


def judge(ledger, worth, seeds=3, sizes=SIZES, noise=0.05):
    """Labels at 1,000 examples are as good as web data ``worth`` times as large."""
    rng = np.random.default_rng(0)
    names = list(range(seeds))
    web = 100 - error(sizes)[:, None] + rng.normal(0, noise, (len(sizes), seeds))
    labels = 100 - error([1000 * worth])[:, None] + rng.normal(0, noise, (1, seeds))
    axes = {"shots": "full", "seed": names}
    rows = [
        ledger(web, size=sizes, method="clip", source="web", **axes),
        ledger(labels, size=[1000], method="supervised", source="labels", **axes),
    ]
    return claim.judge(pl.concat(rows))


def test_labels_worth_more(ledger):
    verdict = judge(ledger, 30)
    assert verdict.status == "supported"
    assert verdict.unit == "times"
    assert 15 < verdict.low < verdict.effect < verdict.high
    assert verdict.effect == pytest.approx(30, rel=0.05)


def test_labels_worth_less(ledger):
    assert judge(ledger, 5).status == "contradicted"


def test_beyond_the_largest_size_there_is_a_bound(ledger):
    verdict = judge(ledger, 500)
    assert (verdict.status, verdict.unit) == ("supported", "times or more")
    assert verdict.effect == pytest.approx(64)
    assert (verdict.low, verdict.high) == (pytest.approx(64), math.inf)
    assert "lead further than 64,000 examples, all there are of web" in verdict.detail


def test_a_bound_below_what_is_claimed_decides_nothing(ledger):
    assert judge(ledger, 500, sizes=[1000, 2000, 4000, 8000]).status == "undecided"


def test_one_seed_decides_nothing(ledger):
    verdict = judge(ledger, 30, seeds=1)
    assert (verdict.status, verdict.low, verdict.high) == ("undecided", -math.inf, math.inf)
    assert verdict.effect == pytest.approx(30, rel=0.1)
    assert verdict.detail.endswith("one seed, which gives no interval")


def test_too_few_sizes_are_not_judged(ledger):
    with pytest.raises(ValueError, match="3 distinct"):
        judge(ledger, 30, sizes=[1000, 4000])
    with pytest.raises(ValueError, match=r"no test accuracy for .*source labels"):
        claim.judge(ledger(np.ones((2, 1)), size=[1, 2], method="clip", source="web", seed=[0]))
