import numpy as np
import pytest
from scipy import stats

from raystudy.claims.head2toe_matches import Head2ToeMatchesFineTuning

TASKS = ("letters", "places", "styles")
claim = Head2ToeMatchesFineTuning(tasks=TASKS, method="clip")


def judge(ledger, lead, claim=claim):
    """``lead`` (tasks, seeds): points that Head2Toe is ahead; tasks and seeds differ by more."""
    lead = np.array(lead, dtype=float)
    tuned = 40 + 15 * np.arange(len(lead))[:, None] + 5.0 * np.arange(lead.shape[1])
    axes = {"adaptation": ["head2toe", "fine-tune"], "task": list(TASKS), "shots": "full"}
    return claim.judge(ledger([tuned + lead, tuned], **axes, seed=list(range(lead.shape[1]))))


def test_being_a_little_behind_is_to_match(ledger):
    lead = np.array([[-6, -6.3, -6.1], [5, 5.3, 5.2], [-1, -0.8, -1.2]])
    verdict = judge(ledger, lead)
    expected = stats.t.interval(0.95, 2, lead.mean(), stats.sem(lead.mean(0)))
    assert verdict.status == "supported"
    assert verdict.effect == pytest.approx(lead.mean())
    assert (verdict.low, verdict.high) == pytest.approx(expected)
    assert "ahead on 1 of 3 tasks, from -6.1 on letters to +5.2 on places" in verdict.detail


def test_being_far_behind_contradicts_it(ledger):
    lead = [[-6, -6.3, -6.1], [-5, -5.3, -5.2], [0, 0.2, -0.2]]
    assert judge(ledger, lead).status == "contradicted"
    generous = claim.model_copy(update={"margin": 8.0})
    assert judge(ledger, lead, generous).status == "supported"


def test_seeds_that_disagree_decide_nothing(ledger):
    verdict = judge(ledger, [[-9, 4, 3], [-8, 2, 9], [-9, 1, 2]])
    assert verdict.status == "undecided"
    assert verdict.low < -2 < verdict.high


def test_one_seed_decides_nothing(ledger):
    verdict = judge(ledger, [[3], [3], [3]])
    assert (verdict.status, verdict.low, verdict.high) == ("undecided", -np.inf, np.inf)


def test_a_task_without_fine_tuning_is_named(ledger):
    axes = {"adaptation": ["head2toe", "fine-tune"], "task": list(TASKS), "seed": [0]}
    records = ledger(np.ones((2, 3, 1)), **axes, shots="full")
    lost = records.filter(~((records["adaptation"] == "fine-tune") & (records["task"] == "places")))
    with pytest.raises(ValueError, match="missing: adaptation fine-tune, task places, seed 0;"):
        claim.judge(lost)
