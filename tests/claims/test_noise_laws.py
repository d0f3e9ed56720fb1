"""Claims on what noise does to the law of size, on errors that follow a law by construction."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from raystudy.claims.noise_costs_more import NoiseCostsMoreThanItsExamples
from raystudy.claims.noise_keeps_exponent import NoiseKeepsExponent

ABOUT: dict[str, Any] = {
    "task": "digits",
    "adaptation": "linear_probe",
    "method": "clip",
    "source": "glyphs",
    "shots": "1",
}
SIZES = [400, 1600, 6400, 25_600]
RATES = {"clean": 0.0, "wrong-0.2": 0.2, "wrong-0.6": 0.6}


def records(ledger, exponents, q=0.0, jitter=0.0, seeds=(0, 1, 2)):
    """Accuracies of error 3·(n·(1 − r)^q)^−α, with an exponent for each seed and noise."""
    rng = np.random.default_rng(0)
    errors = [
        [
            [3 * (n * (1 - rate) ** q) ** -a * np.exp(jitter * rng.normal()) for a in of_noise]
            for n in SIZES
        ]
        for rate, of_noise in zip(RATES.values(), exponents, strict=True)
    ]
    found = ledger(100 - 100 * np.array(errors), noise=list(RATES), size=SIZES, seed=list(seeds))
    return found.with_columns(noise_rate=found["noise"].replace_strict(RATES))


def test_the_exponent_is_the_slope_of_logarithms(ledger):
    clean, noisy = [0.30, 0.32, 0.35], [0.31, 0.325, 0.365]
    verdict = NoiseKeepsExponent(noise="wrong-0.6", **ABOUT).judge(
        records(ledger, [clean, clean, noisy], q=2.0)
    )
    differences = np.subtract(noisy, clean)
    low, high = stats.t.interval(0.95, 2, differences.mean(), stats.sem(differences))
    assert verdict.effect == pytest.approx(differences.mean())
    assert (verdict.low, verdict.high) == pytest.approx((low, high))
    assert verdict.status == "supported"


@pytest.mark.parametrize(("spread", "status"), [(0.002, "contradicted"), (0.1, "undecided")])
def test_an_exponent_that_changes_contradicts_it_if_seeds_agree(ledger, spread, status):
    noisy = [0.2 - spread, 0.2, 0.2 + spread]
    verdict = NoiseKeepsExponent(noise="wrong-0.6", **ABOUT).judge(
        records(ledger, [[0.3] * 3, [0.3] * 3, noisy])
    )
    assert verdict.status == status


def test_two_sizes_have_no_exponent(ledger):
    with pytest.raises(ValueError, match="three sizes"):
        NoiseKeepsExponent(noise="wrong-0.6", **ABOUT).judge(
            records(ledger, [[0.3] * 3] * 3).filter(size=SIZES[0])
        )


@pytest.mark.parametrize(("q", "status"), [(1.6, "supported"), (0.4, "contradicted")])
def test_the_cost_of_a_wrong_label_is_recovered(ledger, q, status):
    claim = NoiseCostsMoreThanItsExamples(noise="wrong-0.6", **ABOUT)
    verdict = claim.judge(records(ledger, [[0.3] * 4] * 3, q=q, jitter=0.003, seeds=range(4)))
    assert verdict.effect == pytest.approx(0.4 ** (1 - q), rel=0.1)
    assert verdict.status == status
    assert verdict.low < verdict.effect < verdict.high


def test_a_seed_without_its_noise_is_named(ledger):
    claim = NoiseCostsMoreThanItsExamples(noise="wrong-0.6", **ABOUT)
    whole = records(ledger, [[0.3] * 3] * 3)
    with pytest.raises(ValueError, match=r"missing: noise wrong-0\.6"):
        claim.judge(whole.filter(whole["noise"] != "wrong-0.6"))
