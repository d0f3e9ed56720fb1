import numpy as np
import pytest
from scipy import stats

from raystudy.claims.label_noise import NoiseHurtsAtEverySize

claim = NoiseHurtsAtEverySize(
    task="digits",
    adaptation="linear_probe",
    method="clip",
    source="glyphs",
    shots="1",
    noise="uniform",
)
SIZES = [100, 1000, 10_000]


def judge(ledger, lost):
    """``lost`` (sizes, seeds): points that noise takes; seeds differ by far more than it does."""
    lost = np.array(lost, dtype=float)
    clean = 60 + np.arange(len(lost))[:, None] + 7 * np.arange(lost.shape[1])
    axes = {"noise": ["clean", "uniform"], "size": SIZES[: len(lost)]}
    records = ledger([clean, clean - lost], **axes, seed=list(range(lost.shape[1])))
    return claim.judge(records)


def test_a_loss_at_every_size_supports_it_and_the_smallest_is_reported(ledger):
    verdict = judge(ledger, [[9, 9.2, 9.1], [2, 2.2, 2.4], [5, 5.1, 5]])
    expected = stats.t.interval(0.95, 2, 2.2, stats.sem([2, 2.2, 2.4]))
    assert verdict.status == "supported"
    assert verdict.effect == pytest.approx(2.2)
    assert (verdict.low, verdict.high) == pytest.approx(expected)
    assert "1,000: +2.2 (+1.7 … +2.7)" in verdict.detail
    assert "10,000: +5.0" in verdict.detail


def test_one_size_in_doubt_leaves_it_undecided(ledger):
    verdict = judge(ledger, [[9, 9.2, 9.1], [-1, 2, 1], [5, 5.1, 5]])
    assert verdict.status == "undecided"
    assert verdict.low < 0 < verdict.high


def test_one_size_that_gains_contradicts_it_and_is_reported(ledger):
    verdict = judge(ledger, [[9, 9.2, 9.1], [-1, -1.1, -1.2], [-9, 3, 0]])
    assert verdict.status == "contradicted"
    assert verdict.effect == pytest.approx(-1.1)
    assert verdict.high < 0


def test_one_seed_decides_nothing(ledger):
    verdict = judge(ledger, [[9], [8]])
    assert (verdict.status, verdict.low, verdict.high) == ("undecided", -np.inf, np.inf)


def test_a_size_without_noise_is_named(ledger):
    axes = {"noise": ["clean", "uniform"], "size": SIZES, "seed": [0]}
    records = ledger(np.ones((2, 3, 1)), **axes)
    with pytest.raises(ValueError, match="missing: noise uniform, size 1000, seed 0;"):
        claim.judge(records.filter(records["cell"] != "uniform/1000/0"))


def test_the_statement_names_its_terms():
    assert "uniform" in claim.statement
    assert "digits" in claim.statement
