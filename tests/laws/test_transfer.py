"""D_E, D_T and their law, against studies of which both are known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import curve_fit

from raystudy.intervals import mean_interval
from raystudy.laws import BoundedPower, FitError, FitStatus, OffsetPower
from raystudy.laws.jackknife import standard_error, student_interval, without_each
from raystudy.laws.transfer import SCRATCH, Transfer, TransferRuns, transfer
from raystudy.laws.transfer_law import difference, effect_of, transfer_law
from raystudy.laws.transferred import Reading

from .transfers import MODELS, PLAIN, World

EXACT = replace(PLAIN, run=0.0, seed=0.0)
TWO = World({"text": (300.0, 0.3, 0.4), "code": (900.0, 0.1, 0.4)})


def study(world: World = PLAIN, num_seeds: int = 4, draw: int = 0) -> TransferRuns:
    return world.draw(np.random.default_rng(draw), num_seeds)


@pytest.fixture(scope="module")
def noisy() -> Transfer:
    return transfer(study(TWO))


def test_the_jackknife_of_a_mean_is_students_interval() -> None:
    values = np.random.default_rng(0).normal(size=6)
    left_out = without_each(6)[1:] @ values / 5
    mean, low, high = mean_interval(values, 0.9)
    assert student_interval(mean, left_out, 0.9) == pytest.approx((low, high))
    assert standard_error(left_out) == pytest.approx(values.std(ddof=1) / 6**0.5)


def test_an_interval_is_open_where_a_seed_takes_it_out_of_reach() -> None:
    low, high = student_interval(0.0, np.array([0.1, np.inf, -0.1]))
    assert np.isfinite(low)
    assert np.isposinf(high)
    assert student_interval(0.0, np.array([0.1, np.nan])) == (-np.inf, np.inf)
    assert student_interval(0.0, np.empty(0)) == (-np.inf, np.inf)


def test_without_noise_everything_comes_back() -> None:
    found = transfer(study(EXACT, 2))
    for point in found.points:
        worth = EXACT.worth(point.arm, point.D_F, point.N)
        assert point.worth.reading is Reading.MEASURED
        assert point.worth.D_T[0] == pytest.approx(worth, rel=0.01)
    law = transfer_law(found, "text")
    assert law.parameter("alpha")[0] == pytest.approx(0.3, abs=0.005)
    assert law.parameter("beta")[0] == pytest.approx(0.4, abs=0.005)
    assert law.parameter("k")[0] == pytest.approx(EXACT.k("text"), rel=0.05)


def test_curves_are_least_squares_on_logarithms(noisy: Transfer) -> None:
    """SciPy's fit of the same runs, whole and without a seed."""
    runs = study(TWO)
    for left_out in (None, 2):
        rows = (runs.arm == SCRATCH) & (MODELS[1] == runs.N) & (runs.seed != left_out)
        x, y = runs.D_F[rows], runs.loss[rows]
        oracle, _ = curve_fit(
            lambda D, E, A, a: np.log(E + A * D**-a), x, np.log(y), (0.05, 8.0, 0.45), maxfev=9999
        )
        curve = noisy.curves[MODELS[1]]
        assert isinstance(curve.fit.law, OffsetPower)
        own = curve.fit.parameters if left_out is None else curve.left_out[left_out]
        assert own == pytest.approx(oracle, rel=1e-3)


def test_data_in_other_units_changes_k_alone() -> None:
    runs = study()
    law = transfer_law(transfer(runs), "text")
    thousand = replace(runs, D_F=1000 * runs.D_F)
    other = transfer_law(transfer(thousand), "text")
    for name in ("alpha", "beta"):
        assert other.parameter(name) == pytest.approx(law.parameter(name), abs=1e-3)
    scaled = np.array(law.parameter("k")) * 1000 ** (1 - law.parameter("alpha")[0])
    assert other.parameter("k")[0] == pytest.approx(scaled[0], rel=1e-2)


def test_straight_lines_between_means_agree_with_numpy(noisy: Transfer) -> None:
    for point in noisy.points[:6]:
        curve = noisy.curves[point.N]
        log_size = np.interp(-np.log(point.loss[0]), -np.log(curve.means), np.log(curve.sizes))
        assert point.interpolated == pytest.approx(np.exp(log_size))
        assert point.form_matters < 1.1


def test_a_loss_that_starts_from_chance_gets_another_curve() -> None:
    class Chance(World):
        def loss(self, D: np.ndarray, N: float) -> np.ndarray:
            return 2.3 / (1 + (D / 100) ** 1.2 * (N / 1e5) ** 0.1)

    world = Chance({"text": (200.0, 0.3, 0.3)})
    found = transfer(study(world))
    assert all(isinstance(c.fit.law, BoundedPower) for c in found.curves.values())
    assert max(point.form_matters for point in found.points) < 1.15
    assert transfer_law(found, "text").parameter("alpha")[0] == pytest.approx(0.3, abs=0.1)


def test_what_scratch_does_not_reach_is_a_bound_and_has_no_say() -> None:
    runs = study(replace(PLAIN, scratch=tuple(20 * 2.0 ** np.arange(5)), tuned=(10.0, 100.0)))
    found = transfer(runs)
    beyond = [p for p in found.points if p.worth.reading is Reading.AT_LEAST]
    for point in beyond:
        assert point.worth.D_E[0] == 320
        assert point.worth.D_E[1] <= 320
        assert np.isposinf(point.worth.D_E[2])
        assert PLAIN.worth("text", point.D_F, point.N) + point.D_F > 300
        assert point.obstacle
    assert {(p.D_F, p.N) for p in beyond} >= {(100.0, MODELS[2]), (10.0, MODELS[2])}


def test_beyond_low_data_nothing_has_a_say() -> None:
    class Short(World):
        def loss(self, D: np.ndarray, N: float) -> np.ndarray:
            return 1 + 300 * D**-1.5

    found = transfer(study(Short({"text": (300.0, 0.3, 0.4)}, run=0.001, seed=0.001)))
    D_N = next(iter(found.curves.values())).D_N
    assert pytest.approx((0.99 / 0.01 * 300) ** (1 / 1.5), rel=0.05) == D_N
    gated = [p for p in found.points if p.obstacle == "not low data"]
    assert {p.D_F for p in gated} == {100.0, 300.0}
    law = transfer_law(found, "text")
    assert {p.D_F for p in law.used} == {10.0, 30.0}
    assert "6: not low data" in " ".join(law.limits)


def test_harm_is_ossification_and_has_no_logarithm() -> None:
    runs = study(PLAIN)
    harmed = runs.arm == "text"
    found = transfer(replace(runs, loss=np.where(harmed, 3 * runs.loss, runs.loss)))
    ossified = [p for p in found.points if p.worth.ossified]
    assert ossified
    assert all(p.worth.D_T[2] < 0 and "D_T ≤ 0" in p.obstacle for p in ossified)


def test_one_seed_has_no_interval() -> None:
    law = transfer_law(transfer(study(num_seeds=1)), "text")
    assert law.parameter("alpha")[1:] == (-np.inf, np.inf)
    assert any("one seed" in limit for limit in law.limits)
    assert law.status is not FitStatus.FINE


def test_seeds_that_shift_everything_cancel() -> None:
    """What a seed does to all of its runs moves every reading by the same factor, and no interval
    of an exponent is wider for it."""
    widths = []
    for shift in (0.0, 0.3):
        law = transfer_law(transfer(study(replace(PLAIN, seed=shift), 5)), "text")
        _, low, high = law.parameter("alpha")
        widths.append(high - low)
    assert widths[1] < 2 * widths[0]


def test_a_seed_that_is_missing_somewhere_is_borne() -> None:
    runs = study()
    lost = (runs.arm == "text") & (runs.seed == 1) & (runs.D_F == 10)
    law = transfer_law(transfer(runs.take(~lost)), "text")
    assert np.isfinite(law.parameter("alpha")).all()


def test_the_difference_of_arms_is_paired(noisy: Transfer) -> None:
    text, code = (transfer_law(noisy, arm) for arm in ("text", "code"))
    effect = difference(code, text, "alpha", 0.95)
    assert effect.value == pytest.approx(code.parameter("alpha")[0] - text.parameter("alpha")[0])
    assert effect.by_lines == pytest.approx(code.lines[0, 1] - text.lines[0, 1])
    assert effect.low < -0.2 < effect.high < 0


def test_an_effect_spans_both_readings() -> None:
    """Where the form of the curve is wrong, an interval holds what straight lines say too."""
    law = transfer_law(transfer(study(TWO)), "text")
    off = replace(law, lines=law.lines + 0.5)
    plain, wide = (effect_of(one, "alpha", 0.95) for one in (law, off))
    assert wide.low == pytest.approx(min(plain.low, law.parameter("alpha")[1]), abs=0.02)
    assert wide.high > plain.high + 0.4
    lost = replace(law, lines=law.lines * np.nan)
    effect = effect_of(lost, "alpha", 0.95)
    assert (effect.low, effect.high) == pytest.approx(law.parameter("alpha")[1:])


@pytest.mark.parametrize(
    ("world", "match"),
    [
        (replace(PLAIN, models=(3e4,)), "two model sizes or more"),
        (replace(PLAIN, tuned=(50.0,)), "two amounts of fine-tuning data or more"),
        (replace(PLAIN, scratch=(10.0, 5000.0)), "30,000 parameters: .* takes"),
    ],
)
def test_what_cannot_be_told_is_refused(world: World, match: str) -> None:
    with pytest.raises(FitError, match=match):
        transfer_law(transfer(study(world)), "text")


def test_both_arms_are_needed() -> None:
    runs = study()
    for rows in (runs.arm == SCRATCH, runs.arm != SCRATCH):
        with pytest.raises(FitError, match="from scratch and runs that were pre-trained"):
            transfer(runs.take(rows))
    with pytest.raises(FitError, match="30,000 parameters: nothing was run from scratch"):
        transfer(runs.take((runs.arm != SCRATCH) | (MODELS[0] != runs.N)))


def test_intervals_hold_what_is_known() -> None:
    """benchmarks/verdicts.py counts more studies."""
    held = np.zeros(2)
    for draw in range(20):
        found = transfer(study(draw=draw), coverage=0.9)
        law = transfer_law(found, "text")
        for i, (name, value) in enumerate((("alpha", 0.3), ("beta", 0.4))):
            _, low, high = law.parameter(name)
            held[i] += low <= value <= high
    assert (held >= 14).all()  # at 90 % in one of 4,000 times fewer
