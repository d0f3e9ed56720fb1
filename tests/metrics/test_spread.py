"""Intervals of accuracy and calibration: the metrics' own values, a loop, and what they cover."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raystudy.intervals import seed_counts
from raystudy.kinds import Scored
from raystudy.metrics.accuracy import Accuracy
from raystudy.metrics.ece import ECE
from raystudy.metrics.spread import NUM_RESAMPLES, Spread, example_counts, mean, spreads
from raystudy.randomness import generator

METRICS = {"accuracy": Accuracy(), "ece_debiased": ECE(debiased=True)}


def scored(rng: np.random.Generator, num: int, sharpness: float = 1.0, classes: int = 3) -> Scored:
    """Labels drawn from probabilities that ``sharpness`` then overstates, or understates."""
    logits = rng.normal(0, 1.5, (num, classes))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (p.cumsum(1) < rng.random((num, 1))).sum(1)
    return Scored(sharpness * logits, np.minimum(labels, classes - 1))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 60), st.integers(1, 3))
def test_a_resample_is_what_the_metrics_say_of_its_rows(seed: int, num: int, seeds: int) -> None:
    rng = np.random.default_rng(seed)
    every = [scored(rng, num, 2.0) for _ in range(seeds)]
    counts, draws = example_counts(num, "a/test"), generator(0, "resample seeds", seeds)
    times = seed_counts(draws, seeds, NUM_RESAMPLES)
    found = spreads(every, counts)
    rows = [np.repeat(np.arange(num), counts[b]) for b in (0, 7)]
    for name, metric in METRICS.items():
        values = [metric.compute(one.logits, one.labels) for one in every]
        assert found[name].value == pytest.approx(np.mean(values), abs=1e-9)
        for b, of_b in zip((0, 7), rows, strict=True):
            drawn = [metric.compute(one.logits[of_b], one.labels[of_b]) for one in every]
            expected = np.average(drawn, weights=times[b])
            assert found[name].resampled[b] == pytest.approx(expected, abs=1e-9)


def test_blocks_of_examples_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    one, counts = scored(np.random.default_rng(0), 100), example_counts(100, "a/test")
    whole = spreads([one], counts)
    monkeypatch.setattr("raystudy.metrics.spread.BLOCK", 7)
    for name, found in spreads([one], counts).items():
        np.testing.assert_allclose(found.resampled, whole[name].resampled, atol=1e-12)


def test_resamples_draw_as_many_as_there_are() -> None:
    counts = example_counts(300, "a/test")
    assert (counts.sum(1, dtype=int) == 300).all()
    assert not np.array_equal(counts, example_counts(300, "b/test"))
    assert np.array_equal(counts, example_counts(300, "a/test"))
    assert (seed_counts(np.random.default_rng(0), 4, 50).sum(1) == 4).all()


@pytest.mark.parametrize("sharpness", [1.0, 1.5])
@pytest.mark.parametrize("num", [200, 1_000])
def test_intervals_cover_what_endless_examples_give(sharpness: float, num: int) -> None:
    """Of a model that knows how sure it may be, and of one that is surer; 150 samples."""
    rng = np.random.default_rng(3)
    all_there_is = scored(rng, 100_000, sharpness)
    counts = example_counts(num, "a/test")
    samples = [spreads([scored(rng, num, sharpness)], counts) for _ in range(150)]
    for name, metric in METRICS.items():
        truth = metric.compute(all_there_is.logits, all_there_is.labels)
        intervals = [found[name].interval() for found in samples]
        assert 0.85 <= np.mean([low <= truth <= high for low, high in intervals]) <= 0.99


def test_the_mean_of_two_tasks_is_surer_than_either() -> None:
    rng = np.random.default_rng(2)
    two = [spreads([scored(rng, 500)], example_counts(500, t))["accuracy"] for t in "ab"]
    both = mean(two)
    widths = [high - low for low, high in map(Spread.interval, [*two, both])]
    assert widths[2] == pytest.approx(np.mean(widths[:2]) / 2**0.5, rel=0.15)
    assert both.value == pytest.approx((two[0].value + two[1].value) / 2)
