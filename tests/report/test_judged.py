"""Power beside each verdict: what the study could have seen."""

import math

import numpy as np
import polars as pl
import pytest
from scipy import stats

from raystudy.intervals import detectable, mean_interval
from raystudy.kinds import Verdict
from raystudy.report.judged import judged, smallest_effect

from .ledger_fixture import FixedClaim, make_records


@pytest.mark.parametrize("num_seeds", [2, 3, 5, 20])
def test_the_detectable_effect_is_detected_in_four_of_five_studies(num_seeds: int) -> None:
    """By simulation: studies of exactly the error that one interval implies."""
    error = 1.3
    level = float(stats.t.ppf(0.975, num_seeds - 1))
    half = level * error
    effect = detectable(-half, half, num_seeds - 1)
    assert effect is not None
    rng = np.random.default_rng(0)
    sigma = error * math.sqrt(num_seeds)
    studies = rng.normal(effect, sigma, size=(40_000, num_seeds))
    means = studies.mean(1)
    errors = studies.std(1, ddof=1) / math.sqrt(num_seeds)
    assert (np.abs(means) > level * errors).mean() == pytest.approx(0.8, abs=0.01)


def test_without_degrees_the_normal_one_stands_in() -> None:
    effect = detectable(2.0, 6.0)
    assert effect == pytest.approx(2 * (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) / 1.959964)
    many = detectable(2.0, 6.0, 1e6)
    assert many == pytest.approx(effect, rel=1e-4)


def test_more_coverage_is_less_of_an_implied_error() -> None:
    low, high = -3.0, 3.0
    wide, narrow = detectable(low, high, 4, 0.99), detectable(low, high, 4, 0.95)
    assert wide is not None
    assert narrow is not None
    assert wide < narrow


def test_an_open_interval_could_have_shown_nothing() -> None:
    assert detectable(-math.inf, math.inf, 2) is None
    assert detectable(*mean_interval([0.3])[1:]) is None


def test_a_ratio_is_detectable_as_a_ratio() -> None:
    verdict = Verdict("undecided", 1.5, 0.75, 3.0, "times the data", "", 4)
    logs = detectable(math.log(0.75), math.log(3.0), 4)
    assert logs is not None
    assert smallest_effect(verdict) == pytest.approx(math.exp(logs))
    assert smallest_effect(Verdict("undecided", 1.5, 0.0, 3.0, "times", "")) is None


def test_seeds_of_the_ledger_are_the_degrees_of_a_claim_that_does_not_say() -> None:
    records = make_records(seeds=4)
    row = judged(FixedClaim(text="t", status="undecided"), records)
    assert row["freedom"] == 3
    assert row["detectable"] == pytest.approx(detectable(5.5, 9.0, 3))
    assert row["power"] == f"{row['detectable']:.1f} points"
    assert row["too_small"]
    assert not judged(FixedClaim(text="t"), records)["too_small"]
    missing = judged(FixedClaim(text="t", missing="no cell"), pl.DataFrame())
    assert (missing["status"], missing["power"], missing["detail"]) == (
        "not judged",
        "—",
        "no cell",
    )
