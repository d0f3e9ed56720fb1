import numpy as np
import pytest
from scipy import stats

from raystudy.claims.source_spread import SourceSpreadShrinks

claim = SourceSpreadShrinks(task="digits", adaptation="linear_probe", method="clip", size=1000)


def judge(ledger, accuracy):
    """``accuracy`` (shots, sources, seeds) in points."""
    _, num_sources, num_seeds = np.shape(accuracy)
    axes = {"shots": ["1", "full"], "source": list("abcdefg")[:num_sources]}
    records = ledger(accuracy, **axes, seed=list(range(num_seeds)))
    return claim.judge(records)


def draw(rng, low, high, noise_low=0.3, noise_high=0.3, num_seeds=3):
    means = np.array([low, high], dtype=float)[..., None]
    scale = np.array([noise_low, noise_high])[:, None, None]
    return 50 + means + rng.normal(size=(*means.shape[:2], num_seeds)) * scale


def test_sources_that_come_together_support_it(ledger):
    rng = np.random.default_rng(0)
    verdict = judge(ledger, draw(rng, np.linspace(0, 10, 7), np.linspace(0, 2, 7)))
    assert verdict.status == "supported"
    assert verdict.low < 8 < verdict.high
    assert verdict.unit == "points"
    assert "7 sources, 3 seeds" in verdict.detail


def test_sources_that_drift_apart_contradict_it(ledger):
    rng = np.random.default_rng(0)
    verdict = judge(ledger, draw(rng, np.linspace(0, 2, 7), np.linspace(0, 10, 7)))
    assert verdict.status == "contradicted"
    assert verdict.high < 0


def test_a_clear_best_and_worst_give_the_paired_t_interval(ledger):
    """With no doubt about which sources span the spread, both estimates are the paired one."""
    accuracy = draw(np.random.default_rng(1), [0, 5, 20], [0, 2, 9], num_seeds=4)
    verdict = judge(ledger, accuracy)
    effect = (accuracy[0, 2] - accuracy[0, 0]) - (accuracy[1, 2] - accuracy[1, 0])
    expected = stats.t.interval(0.95, 3, effect.mean(), stats.sem(effect))
    assert verdict.effect == pytest.approx(effect.mean())
    assert (verdict.low, verdict.high) == pytest.approx(expected)


@pytest.mark.parametrize("num_seeds", [2, 3, 6, 9])
def test_noise_in_few_shots_alone_is_no_support(ledger, num_seeds):
    """Equal sources, noisy few-shot accuracy: max − min of means would find a shrinking spread."""
    rng = np.random.default_rng(2)
    worlds = [draw(rng, np.zeros(7), np.zeros(7), 3, 0.3, num_seeds) for _ in range(150)]
    naive = [np.ptp(w.mean(-1), axis=1) for w in worlds]
    assert np.mean([low > high for low, high in naive]) > 0.95
    supported = [judge(ledger, world).status == "supported" for world in worlds]
    assert np.mean(supported) <= 0.05


def test_one_seed_decides_nothing(ledger):
    verdict = judge(ledger, [[[50], [70]], [[80], [81]]])
    assert (verdict.status, verdict.low, verdict.high) == ("undecided", -np.inf, np.inf)
    assert verdict.effect == pytest.approx(19)


def test_one_source_has_no_spread(ledger):
    with pytest.raises(ValueError, match=r"two sources or more; the records have \['a'\]"):
        judge(ledger, np.ones((2, 1, 3)))


def test_a_source_without_its_few_shot_cells_is_named(ledger):
    records = ledger(np.ones((2, 2, 2)), shots=["1", "full"], source=["a", "b"], seed=[0, 1])
    with pytest.raises(ValueError, match="missing: shots 1, source b, seed 1;"):
        claim.judge(records.filter(~(records["cell"] == "1/b/1")))


def test_noisy_pretrainings_do_not_count(ledger):
    axes = {"shots": ["1", "full"], "source": ["a", "b"], "seed": [0, 1]}
    clean = ledger(np.ones((2, 2, 2)), **axes)
    noisy = ledger(np.full((2, 2, 2), 90.0), **axes, noise="uniform")
    assert claim.judge(clean.vstack(noisy)) == claim.judge(clean)


def test_shots_are_named_as_the_ledger_names_them():
    numbers = SourceSpreadShrinks.model_validate(claim.model_dump() | {"low_shots": 1})
    assert numbers == claim
    assert numbers.key == claim.key


def of_tasks(ledger, accuracy):
    """``accuracy`` (shots, sources, tasks), of one run each."""
    _, num_sources, num_tasks = np.shape(accuracy)
    tasks = [f"task {i}" for i in range(num_tasks)]
    axes = {"shots": ["1", "full"], "source": list("abcdefg")[:num_sources], "task": tasks}
    return claim.model_copy(update={"task": tuple(tasks)}).judge(ledger(accuracy, **axes))


def test_of_several_tasks_the_sources_must_agree(ledger):
    """The best source of the other tasks is compared on each: luck does not choose it."""
    rng = np.random.default_rng(3)
    same = draw(rng, np.linspace(0, 10, 7), np.linspace(0, 2, 7), num_seeds=6)
    verdict = of_tasks(ledger, same)
    assert verdict.status == "supported"
    assert "7 sources, 6 tasks, one seed each; span of" in verdict.detail
    nothing = [draw(rng, np.zeros(7), np.zeros(7), 3, 0.3, 6) for _ in range(150)]
    assert np.mean([of_tasks(ledger, w).status == "supported" for w in nothing]) <= 0.05
