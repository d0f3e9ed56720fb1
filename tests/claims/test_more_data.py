import numpy as np
import pytest
from scipy import stats

from raystudy.claims.more_data import MoreDataHelpsFewShotMost

claim = MoreDataHelpsFewShotMost(
    task="digits", adaptation="linear_probe", method="clip", source="glyphs"
)


def judge(ledger, gain_low, gain_high):
    """Gains (seeds,) from 100 to 10,000 examples; the size between is no part of either."""
    low, high = np.array(gain_low, dtype=float), np.array(gain_high, dtype=float)
    base = 40 + 5.0 * np.arange(len(low))
    accuracy = [[base, 0 * base, base + low], [base + 30, 0 * base, base + 30 + high]]
    axes = {"shots": ["1", "full"], "size": [100, 1000, 10_000]}
    return claim.judge(ledger(accuracy, **axes, seed=list(range(len(low)))))


def test_a_larger_few_shot_gain_supports_it(ledger):
    verdict = judge(ledger, [12, 12.5, 13], [2, 2, 3])
    expected = stats.t.interval(0.95, 2, np.mean([10, 10.5, 10]), stats.sem([10, 10.5, 10]))
    assert verdict.status == "supported"
    assert (verdict.low, verdict.high) == pytest.approx(expected)
    assert "from 100 to 10,000: +12.5 at 1, +2.3 at full shots; 3 seeds" in verdict.detail


def test_a_larger_full_shot_gain_contradicts_it(ledger):
    assert judge(ledger, [2, 2, 3], [12, 12.5, 13]).status == "contradicted"


def test_gains_alike_leave_it_undecided(ledger):
    assert judge(ledger, [2, 4, 3], [3, 2, 4]).status == "undecided"


def test_one_size_has_no_gain(ledger):
    records = ledger(np.ones((2, 1)), shots=["1", "full"], seed=[0])
    with pytest.raises(ValueError, match="two sizes or more"):
        claim.judge(records)
    with pytest.raises(ValueError, match=r"no test accuracy for .*source laion"):
        claim.model_copy(update={"source": "laion"}).judge(records)


def test_of_several_tasks_each_is_one_repetition(ledger):
    """One run of each arm: what repeats is the task, and the verdict says so."""
    gains = np.array([[12, 2], [10, 1], [14, 3]], dtype=float)  # (tasks, few and many shots)
    accuracy = np.stack([40 + 0 * gains, 40 + gains])  # (sizes, tasks, shots)
    names = ["digits", "pets", "dtd"]
    records = ledger(accuracy, size=[100, 1000], task=names, shots=["1", "full"], seed=0)
    many = claim.model_copy(update={"task": tuple(names)})
    verdict = many.judge(records)
    expected = stats.t.interval(0.95, 2, 10, stats.sem([10, 9, 11]))
    assert (verdict.low, verdict.high) == pytest.approx(expected)
    assert (verdict.status, verdict.effect) == ("supported", pytest.approx(10))
    assert verdict.detail.endswith("3 tasks, one seed each, paired t-interval")
    assert "accuracy on 3 tasks (digits, pets, dtd)" in many.statement
    alone = claim.judge(records)
    assert (alone.status, alone.low) == ("undecided", -np.inf)
    assert alone.detail.endswith("one seed, which gives no interval")


def test_sizes_may_be_named(ledger):
    accuracy = [[[10, 30, 0]], [[10, 11, 0]]]
    axes = {"shots": ["1", "full"], "seed": [0], "size": [100, 1000, 10_000]}
    verdict = claim.model_copy(update={"sizes": (100, 1000)}).judge(ledger(accuracy, **axes))
    assert verdict.effect == pytest.approx(19)
