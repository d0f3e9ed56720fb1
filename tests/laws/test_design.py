"""The fast answer against the slow one: add a run, draw it many times, fit again."""

from dataclasses import replace
from functools import cache
from itertools import permutations

import numpy as np
import pytest

from raystudy.laws.design import Candidate, Design, Noise, Runs, fitted, next_best, noise_of
from raystudy.laws.fit import FitError, solve_weighted
from raystudy.laws.power import OffsetPower

law = OffsetPower()
TRUE = np.array([[0.1, 4.0, 0.35], [0.1, 6.0, 0.35]])
UNEVEN = (0.004, 0.008)
NUM_DRAWS = 800
SIZES = np.array([300.0, 1e3, 3e3, 1e4])


def runs(num_seeds=3, sizes=SIZES, arms=2) -> Runs:
    grid = [(a, x, s) for a in range(arms) for x in sizes for s in range(num_seeds)]
    arm, x, seed = zip(*grid, strict=True)
    return Runs(np.array(arm), np.array(x), np.array(seed))


def one(arm, x, seed=9) -> Runs:
    return Runs(np.array([arm]), np.array([float(x)]), np.array([seed]))


def design(noise=(0.004, 0.004), of_seed=0.0, num_seeds=3) -> Design:
    of_run, shared = np.square(np.array(noise)), np.full((2, 2), of_seed**2)
    return Design(law, TRUE, runs(num_seeds), Noise(of_run, shared))


def error_at(size):
    return lambda p: float(np.asarray(law.predict(np.array([size]), p[0]))[0])


def apart(p) -> float:
    curves = np.asarray(law.predict(np.array([1e4]), p), dtype=float)[:, 0]
    return float(curves[1] - curves[0])


@cache
def drawn(arm: int, x: float) -> np.ndarray:
    """Parameters (draws, 2, 3) of ledgers that hold one more run, drawn and fitted anew."""
    base = design(UNEVEN)
    rng = np.random.default_rng(0)
    whole = base.runs.and_(one(arm, x))
    parameters = np.empty((NUM_DRAWS, 2, 3))
    for a in (0, 1):
        own = whole.arm == a
        noise = rng.normal(size=(NUM_DRAWS, own.sum())) * UNEVEN[a]
        y = law.predict(whole.x[own], TRUE[a]) + noise
        parameters[:, a] = law.solve(whole.x[own], y, np.ones_like(y))
    return parameters


@pytest.mark.parametrize(
    "quantity", [error_at(1e5), error_at(2e3), apart], ids=["far", "near", "apart"]
)
def test_it_agrees_with_drawing_and_fitting_again(quantity):
    base = design(UNEVEN)
    slope = base.gradient(quantity)
    tried = [(a, x) for a in (0, 1) for x in (300.0, 1e4, 1e5)]
    fast = np.array([base.standard_error(slope, [one(*place)]) for place in tried])
    slow = np.array([np.std([quantity(p) for p in drawn(*place)]) for place in tried])
    assert fast == pytest.approx(slow, rel=0.07)
    apart_enough = 0.06 * fast.max()  # more than so many draws err by
    for i, j in permutations(range(len(tried)), 2):
        if fast[i] < fast[j] - apart_enough:
            assert slow[i] < slow[j]
    assert np.ptp(fast) > apart_enough


def test_what_a_seed_does_to_both_arms_is_no_doubt_about_their_difference():
    alone, shared = design(), design(of_seed=0.05)
    slope = alone.gradient(apart)
    assert shared.standard_error(slope) == pytest.approx(alone.standard_error(slope), rel=1e-3)
    slope = alone.gradient(error_at(1e4))
    assert shared.standard_error(slope) > 5 * alone.standard_error(slope)


def test_seeds_of_a_noisy_arm_come_before_those_of_a_quiet_one():
    base = design((0.002, 0.02))
    candidates = [
        Candidate(f"arm {a} seed {s}", one(a, 1e4, s), 1.0) for a in (0, 1) for s in (5, 6, 7)
    ]
    chosen = next_best(base, base.gradient(apart), candidates, 3)
    assert [candidates[c.index].name for c in chosen] == [f"arm 1 seed {s}" for s in (5, 6, 7)]
    assert all(c.before > c.after for c in chosen)
    assert [c.before for c in chosen[1:]] == [c.after for c in chosen[:-1]]


def test_twice_the_cost_is_half_the_gain():
    base = design()
    slope = base.gradient(apart)
    candidate = Candidate("one", one(0, 1e4), 2.0)
    (cheap,), (dear,) = (
        next_best(base, slope, [replace(candidate, cost=cost)], 1) for cost in (2.0, 4.0)
    )
    assert cheap.gain == pytest.approx(2 * dear.gain)
    assert (cheap.before, cheap.after) == (dear.before, dear.after)
    with pytest.raises(ValueError, match="cost must be positive"):
        next_best(base, slope, [replace(candidate, cost=0.0)], 1)


def test_the_order_of_runs_and_candidates_says_nothing():
    base = design((0.004, 0.008), of_seed=0.01)
    slope = base.gradient(apart)
    candidates = [
        Candidate(f"{a} {x} {s}", one(a, x, s), x**0.3)
        for a in (0, 1)
        for x in (300, 3e3, 1e4)
        for s in (3, 4)
    ]
    first = next_best(base, slope, candidates, 3)
    rng = np.random.default_rng(1)
    for _ in range(2):
        order = rng.permutation(len(candidates))
        rows = rng.permutation(len(base.runs.x))
        mixed = replace(
            base, runs=Runs(base.runs.arm[rows], base.runs.x[rows], base.runs.seed[rows])
        )
        again = next_best(mixed, slope, [candidates[i] for i in order], 3)
        assert [order[c.index] for c in again] == [c.index for c in first]
        assert [c.after for c in again] == pytest.approx([c.after for c in first])


def test_what_tells_nothing_is_not_listed():
    base = design()
    chosen = next_best(base, base.gradient(error_at(1e5)), [Candidate("b", one(1, 1e5), 1.0)], 5)
    assert chosen == []


def test_noise_of_runs_and_of_seeds_is_told_apart():
    rng = np.random.default_rng(3)
    many = runs(num_seeds=40, sizes=np.geomspace(300, 1e5, 8))
    shared = rng.normal(0, 0.02, 40)[many.seed]
    own = rng.normal(0, np.array([0.005, 0.015])[many.arm])
    y = np.concatenate([np.asarray(law.predict(many.x[many.arm == a], TRUE[a])) for a in (0, 1)])
    found = fitted(law, many, y + shared + own)
    assert found.noise.run**0.5 == pytest.approx([0.005, 0.015], rel=0.15)
    assert np.diag(found.noise.seed) ** 0.5 == pytest.approx([0.02, 0.02], rel=0.35)
    correlation = found.noise.seed[0, 1] / found.noise.seed[0, 0]
    assert correlation == pytest.approx(1, abs=0.25)
    assert found.parameters == pytest.approx(TRUE, rel=0.2)
    alone = solve_weighted(
        law, many.x[many.arm == 1], (y + shared + own)[many.arm == 1], np.ones((1, 320))
    )
    assert found.parameters[1] == pytest.approx(alone[0])


def test_as_many_runs_as_parameters_are_refused():
    few = runs(num_seeds=1, sizes=SIZES[:3])
    with pytest.raises(FitError, match="nothing to tell noise from"):
        noise_of(np.zeros(6), few, 3)


def test_a_flat_curve_identifies_no_exponent():
    flat = design()
    flat = replace(flat, parameters=np.array([[0.5, 0.0, 1.0], [0.1, 6.0, 0.35]]))
    with pytest.raises(FitError, match=r"no influence on any run|cannot tell"):
        flat.covariance()
