import numpy as np
import pytest

from raystudy.claims.no_source_wins import NoSourceWinsEverywhere

TASKS = ("digits", "pets")
claim = NoSourceWinsEverywhere(
    tasks=TASKS, adaptation="linear_probe", method="clip", size=1000, shots="1"
)


def judge(ledger, accuracy):
    """``accuracy`` (sources, tasks, seeds) in points."""
    sources, _, seeds = np.shape(accuracy)
    axes = {"source": list("abcdefg")[:sources], "task": list(TASKS), "seed": list(range(seeds))}
    return claim.judge(ledger(accuracy, **axes))


def draw(rng, means, num_seeds=3, noise=0.3):
    means = np.array(means, dtype=float)[..., None]
    return 50 + means + rng.normal(0, noise, (*means.shape[:2], num_seeds))


def test_winners_that_differ_support_it(ledger):
    verdict = judge(ledger, draw(np.random.default_rng(0), [[10, 0], [0, 10], [5, 5]]))
    assert verdict.status == "supported"
    assert "digits: a, pets: b" in verdict.detail
    assert verdict.low > 0


def test_a_source_that_leads_everywhere_contradicts_it(ledger):
    verdict = judge(ledger, draw(np.random.default_rng(0), [[20, 20], [0, 10], [10, 0]]))
    assert verdict.status == "contradicted"
    assert "a comes nearest to winning all" in verdict.detail
    assert verdict.effect == pytest.approx(-10, abs=1)


def test_one_seed_decides_nothing(ledger):
    verdict = judge(ledger, [[[60], [50]], [[50], [60]]])
    assert (verdict.status, verdict.low, verdict.high) == ("undecided", -np.inf, np.inf)
    assert verdict.detail.endswith("one seed, which gives no interval")


def test_sources_alike_are_no_support(ledger):
    """Someone is ahead somewhere in every draw; that alone is luck."""
    rng = np.random.default_rng(1)
    worlds = [draw(rng, np.zeros((4, 2)), noise=2) for _ in range(200)]
    assert np.mean([len(set(w.mean(-1).argmax(0))) > 1 for w in worlds]) > 0.5
    verdicts = [judge(ledger, world).status for world in worlds]
    assert np.mean([v == "supported" for v in verdicts]) <= 0.05
    assert np.mean([v == "contradicted" for v in verdicts]) <= 0.05


def test_one_source_has_no_rival(ledger):
    with pytest.raises(ValueError, match=r"two sources or more; the records have \['a'\]"):
        judge(ledger, np.ones((1, 2, 3)))
