import numpy as np
import pytest

from raystudy.claims.head2toe_gains import Head2ToeGainsWhereAffinityIsLow
from raystudy.claims.head2toe_matches import Head2ToeMatchesFineTuning

TASKS = tuple("abcdefghi")
gains = Head2ToeGainsWhereAffinityIsLow(tasks=TASKS, method="clip")


def records(ledger, probe, head, scratch, tuned=None, tasks=TASKS):
    """Accuracies in points, each (tasks, seeds)."""
    shared = {"task": list(tasks), "seed": list(range(np.shape(probe)[1])), "shots": "full"}
    of = {"linear-probe": probe, "head2toe": head} | (
        {"fine-tune": tuned} if tuned is not None else {}
    )
    trained = ledger(list(of.values()), adaptation=list(of), **shared)
    untrained = {"method": "none", "source": "none", "size": 0, "adaptation": "fine-tune"}
    return trained.vstack(ledger(scratch, **untrained, **shared))


def world(rng, slope, num_seeds=2, tasks=TASKS, noise=1.5, scatter=4.0):
    """Gains that fall by ``slope`` with affinity, task by task ``scatter`` off; seeds ``noise``."""
    n = len(tasks)
    affinity = rng.normal(0, 15, n)[:, None]
    gain = 10 - slope * affinity + rng.normal(0, scatter, n)[:, None]
    probe, head, scratch = (rng.normal(0, noise, (n, num_seeds)) for _ in range(3))
    return 60 + probe, 60 + gain + head, 60 - affinity + scratch


def test_gains_that_fall_with_affinity_support_it(ledger):
    verdict = gains.judge(records(ledger, *world(np.random.default_rng(0), slope=0.6)))
    assert verdict.status == "supported"
    assert verdict.low < 6 < verdict.high
    assert "9 tasks, 2 seeds" in verdict.detail


def test_gains_that_rise_with_affinity_contradict_it(ledger):
    verdict = gains.judge(records(ledger, *world(np.random.default_rng(0), slope=-0.6)))
    assert verdict.status == "contradicted"
    assert verdict.low < -6 < verdict.high


def test_without_noise_it_is_the_slope_of_least_squares(ledger):
    probe, head, scratch = world(np.random.default_rng(1), slope=0.3, noise=0)
    found = np.polyfit((probe - scratch)[:, 0], (head - probe)[:, 0], 1)
    verdict = gains.judge(records(ledger, probe, head, scratch))
    assert verdict.effect == pytest.approx(-10 * found[0])
    assert verdict.high - verdict.effect == pytest.approx(verdict.effect - verdict.low)


@pytest.mark.parametrize("num_seeds", [2, 3])
def test_no_relation_is_seldom_taken_for_one(ledger, num_seeds):
    rng = np.random.default_rng(2)
    judged = [gains.judge(records(ledger, *world(rng, 0.0, num_seeds))) for _ in range(150)]
    assert np.mean([verdict.status != "undecided" for verdict in judged]) < 0.08


def test_the_noise_of_the_probe_is_no_support(ledger):
    """It is in gain and affinity with opposite signs: of one seed, they would seem related."""
    rng = np.random.default_rng(3)
    effects, naive = [], []
    for _ in range(150):
        n = len(TASKS)
        probe, scratch = 60 + rng.normal(0, 5, (n, 3)), 50 + rng.normal(0, 1, (n, 3))
        head = 65 + rng.normal(0, 1, (n, 3))
        verdict = gains.judge(records(ledger, probe, head, scratch))
        effects.append(verdict.status == "supported")
        naive.append(np.polyfit((probe - scratch)[:, 0], (head - probe)[:, 0], 1)[0])
    assert np.mean(naive) < -0.8
    assert np.mean(effects) < 0.08


def test_one_seed_decides_nothing(ledger):
    verdict = gains.judge(records(ledger, *world(np.random.default_rng(0), 0.6, num_seeds=1)))
    assert (verdict.status, verdict.low, verdict.high) == ("undecided", -np.inf, np.inf)
    assert verdict.effect > 0


def test_the_same_records_give_the_same_verdict(ledger):
    made = records(ledger, *world(np.random.default_rng(0), 0.6))
    assert gains.judge(made) == gains.judge(made)


def test_missing_training_from_scratch_is_named(ledger):
    made = records(ledger, *world(np.random.default_rng(0), 0.6))
    lost = made.filter(~((made["method"] == "none") & (made["task"] == "c") & (made["seed"] == 1)))
    with pytest.raises(ValueError, match=r"method none.*missing: task c, seed 1;"):
        gains.judge(lost)


def test_three_tasks_are_too_few():
    with pytest.raises(ValueError, match="at least 4 items"):
        Head2ToeGainsWhereAffinityIsLow(tasks=("a", "b", "c"), method="clip")


def test_the_statements_name_the_paper_and_the_network():
    named = {"tasks": TASKS, "method": "published", "architecture": "resnet50"}
    for claim in (Head2ToeGainsWhereAffinityIsLow(**named), Head2ToeMatchesFineTuning(**named)):
        assert "Evci et al. 2022" in claim.statement
        assert "resnet50" in claim.statement
        assert "9 tasks" in claim.statement
