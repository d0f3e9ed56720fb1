"""The numbers in the figures of laws against the laws themselves, and marks that are told apart
without their colours."""

from itertools import combinations

import numpy as np
import polars as pl
import pytest
from scipy import optimize, stats

from raystudy.laws.chinchilla import Chinchilla
from raystudy.laws.multiplier import Multiplier, MultiplierStatus
from raystudy.laws.power import OffsetPower
from raystudy.report.frontier import frontier, frontier_numbers
from raystudy.report.held_out import held_out
from raystudy.report.isoflop import isoflop
from raystudy.report.law_arms import LawArm, Words
from raystudy.report.multiplier_bars import Pair, multiplier_bars
from raystudy.report.profiles import profiles
from raystudy.report.residuals import residuals
from raystudy.report.style import MARKERS, STROKES, log_ticks, looks, scientific, strokes
from raystudy.report.view import MissingCellsError

from .law_tables import CHINCHILLA, LAWS, SIZES, arms, chinchilla, compute_runs, runs

WORDS = Words(("size",), "error")
COMPUTE = Words(("params", "tokens"), "loss")


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    return runs()


@pytest.fixture(scope="module")
def fitted(table: pl.DataFrame) -> list[LawArm]:
    return arms(table)


@pytest.fixture(scope="module")
def of_compute() -> LawArm:
    return chinchilla()


def least_squares(table: pl.DataFrame, name: str, most: float) -> np.ndarray:
    """SciPy's fit of E + A·x^−α to the runs of one arm up to a size."""
    own = table.filter(pl.col("source") == name, pl.col("size") <= most)
    start = LAWS[name]
    found, _ = optimize.curve_fit(
        lambda x, E, A, alpha: E + A * x**-alpha, own["size"], own["error"], p0=start, maxfev=20_000
    )
    return found


def test_what_is_held_out_is_predicted_by_a_fit_without_it(
    table: pl.DataFrame, fitted: list[LawArm]
) -> None:
    drawn = held_out(fitted, WORDS)
    held = drawn.numbers.filter(kind="held out")
    assert set(held["x"]) == {16_000}
    assert sorted(held["observed"]) == sorted(table.filter(size=16_000)["error"])
    for name in LAWS:
        E, A, alpha = least_squares(table, name, 8000)
        own = held.filter(arm=name)
        assert own["predicted"].to_numpy() == pytest.approx(E + A * 16_000**-alpha, rel=1e-4)
        logs = np.log(own["predicted"].to_numpy() / own["observed"].to_numpy())
        assert f"{name} {np.sqrt(np.mean(logs**2)):.2g}" in drawn.caption
        assert (own["run_low"] < own["low"]).all()
    inside = held["observed"].is_between(held["run_low"], held["run_high"]).sum()
    assert f"{inside} of {len(held)} held-out runs" in drawn.caption


def test_what_is_held_out_looks_otherwise_in_grey(fitted: list[LawArm]) -> None:
    axes = held_out(fitted, WORDS).figure.axes[0]
    of = {line.get_label(): line for line in axes.lines}
    fits, held = of["fitted"], of["held out"]
    assert fits.get_marker() != held.get_marker()
    assert fits.get_markerfacecolor() != held.get_markerfacecolor()
    assert of["law"].get_linestyle() != of["beyond what it saw"].get_linestyle()
    assert np.max(fits.get_xdata()) < np.min(held.get_xdata())


def test_too_few_sizes_to_hold_one_out_is_said() -> None:
    with pytest.raises(MissingCellsError, match="too few for the 3 parameters"):
        held_out(arms(runs(sizes=SIZES[:4]), 0), WORDS)


def test_several_inputs_are_drawn_on_one_scale(of_compute: LawArm) -> None:
    drawn = held_out([of_compute], COMPUTE)
    axes = drawn.figure.axes[0]
    assert axes.get_xscale() == axes.get_yscale()
    assert axes.get_xlim() == axes.get_ylim()
    assert drawn.numbers.filter(kind="held out")["N"].to_numpy().min() > 5e9


def test_residuals_are_observed_minus_fitted(table: pl.DataFrame, fitted: list[LawArm]) -> None:
    drawn = residuals(fitted, WORDS)
    for name in LAWS:
        E, A, alpha = least_squares(table, name, np.inf)
        own = table.filter(source=name)
        expected = own["error"].to_numpy() - E - A * own["size"].to_numpy() ** -alpha
        found = drawn.numbers.filter(arm=name)
        assert found["residual"].to_numpy() == pytest.approx(expected, abs=1e-5)
    assert drawn.numbers["p_value"].is_null().all()
    assert "too few to test" in drawn.caption


def test_residuals_with_order_are_called_so() -> None:
    """A law without a limit, where there is one: low in the middle and high at both ends."""
    from raystudy.laws import Power, fit
    from raystudy.report.law_arms import law_arm

    x = np.geomspace(10, 1e6, 24)
    found = fit({"x": x, "y": 0.2 + 5 * x**-0.8}, Power(), x="x", y="y", num_resamples=0)
    drawn = residuals([law_arm("bent", found)], Words(("x",), "y"))
    above = found.residuals > np.median(found.residuals)
    signs = 1 + int((above[1:] != above[:-1]).sum())
    assert drawn.numbers["runs_of_one_sign"].unique().to_list() == [signs]
    assert f"bends otherwise than the runs of bent ({signs - 1} changes" in drawn.caption
    assert "bends otherwise" in drawn.figure.axes[0].get_title(loc="left")


def test_profiles_are_those_of_scipy(table: pl.DataFrame, fitted: list[LawArm]) -> None:
    """The likelihood ratio at an exponent, from the best linear fit of E and A there."""
    numbers = profiles(fitted).numbers
    own = table.filter(source="latin")
    x, y = own["size"].to_numpy(), own["error"].to_numpy()

    def least(alpha: float) -> float:
        terms = np.stack([np.ones_like(x, dtype=float), x**-alpha], axis=1)
        return float(optimize.lsq_linear(terms, y, bounds=(0, np.inf)).cost)

    best = optimize.minimize_scalar(least, bounds=(0.01, 2), method="bounded").fun  # pyright: ignore
    rows = numbers.filter(pl.col("ratio").is_between(0.2, 10), arm="latin", parameter="alpha")
    assert len(rows) > 5
    expected = [(len(y) - 3) * (least(value) - best) / best for value in rows["value"]]
    assert rows["ratio"].to_numpy() == pytest.approx(expected, rel=1e-2, abs=2e-2)
    assert rows["threshold"][0] == pytest.approx(stats.chi2.ppf(0.95, 1))


def test_a_parameter_that_is_not_identified_is_called_so() -> None:
    """Runs of a pure power law far from its limit say nothing of E, but that it is small."""
    found = arms(runs(seeds=3, sizes=(500, 600, 700, 800, 900), noise=0.1), 200)
    drawn = profiles(found)
    flat = drawn.numbers.filter(~pl.col("identified"))
    assert "E" in set(flat["parameter"])
    assert "Not identified: " in drawn.caption
    assert "E of latin" in drawn.caption
    title = drawn.figure.axes[0].get_title(loc="left")
    assert title.startswith("E: not identified")


def test_profiles_are_told_apart_in_grey(fitted: list[LawArm]) -> None:
    axes = profiles(fitted).figure.axes[0]
    curves = [line for line in axes.lines if np.size(line.get_xdata()) > 10]
    assert len({str(line._unscaled_dash_pattern) for line in curves}) == len(LAWS)  # type: ignore[attr-defined]
    markers = [line.get_marker() for line in axes.lines if line.get_label() in LAWS]
    assert len(set(markers)) == len(LAWS)


def test_looks_differ_in_more_than_colour() -> None:
    names = list("abcdef")
    assert len({marker for _, marker in looks(names).values()}) == len(names)
    assert len({str(stroke) for stroke in strokes(names).values()}) == len(STROKES) == len(names)
    assert len(set(MARKERS)) == len(MARKERS)


def test_the_frontier_is_the_running_minimum() -> None:
    table = runs().select(pl.col("source").alias("arm"), pl.col("size").alias("cost"), y="error")
    numbers = frontier_numbers(table)
    on = numbers.filter("on_frontier")
    for row in numbers.iter_rows(named=True):
        values = table.filter(arm=row["arm"], cost=row["cost"])["y"].to_numpy()
        assert row["mean"] == pytest.approx(values.mean())
        oracle = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
        assert [row["low"], row["high"]] == pytest.approx(oracle)
        cheaper = numbers.filter(pl.col("cost") <= row["cost"])["mean"].to_numpy().min()
        assert (row["mean"] == cheaper) == row["on_frontier"]
    assert (on["mean"].diff().drop_nulls() < 0).all()
    assert "On it, cheapest first: latin." in frontier(table, WORDS).caption


def test_one_arm_has_no_frontier() -> None:
    alone = runs().filter(source="latin").select(arm="source", cost="size", y="error")
    with pytest.raises(MissingCellsError, match="two arms"):
        frontier(alone, WORDS)


BOUNDS = [
    Pair("a", "b", Multiplier(3.0, 2.0, 4.5, MultiplierStatus.MEASURED)),
    Pair("a", "c", Multiplier(16.0, 16.0, np.inf, MultiplierStatus.AT_LEAST)),
    Pair("a", "d", Multiplier(0.25, 0.0, 0.25, MultiplierStatus.NOT_REACHED)),
    Pair("a", "e", None, "too few sizes"),
]


def test_bounds_are_arrows_and_refusals_are_told() -> None:
    drawn = multiplier_bars(BOUNDS)
    assert drawn.numbers["multiplier"].to_list() == [3.0, 16.0, 0.25]
    assert drawn.numbers["high"].to_list() == [4.5, None, 0.25]
    assert drawn.numbers["status"].to_list() == ["measured", "at least", "not reached"]
    assert "Not read: e (too few sizes)" in drawn.caption
    axes = drawn.figure.axes[0]
    left, right = axes.get_xlim()
    marks = {
        (line.get_marker(), float(line.get_xdata()[0]), int(line.get_ydata()[0]))  # type: ignore[index]
        for line in axes.lines
        if np.size(line.get_xdata()) == 1
    }
    assert ("o", 3.0, 0) in marks
    assert {(">", 16.0, 1), (">", right, 1)} <= marks
    assert {("<", 0.25, 2), ("<", left, 2)} <= marks
    texts = {text.get_text() for text in axes.texts}
    assert {"> ×16", "not reached"} <= texts


def test_no_multiplier_is_missing() -> None:
    with pytest.raises(MissingCellsError, match="too few sizes"):
        multiplier_bars(BOUNDS[3:])


def test_minima_at_equal_compute_are_those_of_the_curve(of_compute: LawArm) -> None:
    numbers = isoflop(of_compute, COMPUTE).numbers
    assert numbers["compute"].n_unique() == 5
    law, parameters = Chinchilla(), of_compute.fit.parameters
    for (compute,), rows in numbers.group_by("compute"):
        least = rows.filter(kind="minimum").row(0, named=True)

        def loss(log_N: float, C: float = float(compute)) -> float:  # type: ignore[arg-type]
            N = float(np.exp(log_N))
            return float(law.predict(np.array([[N, C / 6 / N]]), parameters)[0])

        found = optimize.minimize_scalar(loss, bounds=np.log([1e6, 1e12]), method="bounded")
        assert least["N"] == pytest.approx(np.exp(found.x), rel=1e-3)  # pyright: ignore
        assert least["loss"] == pytest.approx(found.fun, rel=1e-9)  # pyright: ignore
        assert 6 * least["N"] * least["D"] == pytest.approx(compute)
        assert least["N_low"] < least["N"] < least["N_high"]
        curve = rows.filter(kind="curve")
        assert (curve["loss"] >= least["loss"] * (1 - 1e-9)).all()
        near = rows.filter(kind="run")
        assert (6 * near["N"] * near["D"] / compute).is_between(1 / 1.26, 1.26).all()
    _, A, alpha, B, beta = CHINCHILLA
    middle = numbers.filter(kind="minimum").sort("compute").row(2, named=True)
    G = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    truth = G * (middle["compute"] / 6) ** (beta / (alpha + beta))
    assert middle["N"] == pytest.approx(truth, rel=0.25)


def test_a_minimum_outside_of_what_was_studied_is_hollow() -> None:
    from raystudy.laws import fit
    from raystudy.report.law_arms import law_arm

    small = compute_runs().filter(pl.col("params") < 4e8, pl.col("tokens") > 5e9)
    found = fit(small, Chinchilla(), x=["params", "tokens"], y="loss", num_resamples=30)
    drawn = isoflop(law_arm("loss", found), COMPUTE)
    assert not drawn.numbers.filter(kind="minimum")["within_what_was_studied"].all()
    assert "Hollow: " in drawn.caption


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (3.0, 4e6, [10, 100, 1000, 10_000, 100_000, 1_000_000]),
        (598, 620, [600, 605, 610, 615, 620]),
    ],
)
def test_log_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert log_ticks(low, high, 6 if high > 1e6 else 5) == pytest.approx(expected)


def test_large_numbers_are_short() -> None:
    assert scientific(9.42e17) == "9.4e17"
    assert scientific(1e20) == "1e20"


def test_least_squares_of_the_study_and_of_the_figures_agree(
    table: pl.DataFrame, fitted: list[LawArm]
) -> None:
    """The table of a report is fitted by the law's closed form, its figures by the solver."""
    from raystudy.laws import fit_law

    for arm in fitted:
        own = table.filter(source=arm.name)
        columns = (own[c].to_numpy() for c in ("size", "error", "seed"))
        closed = fit_law(OffsetPower(), *columns, num_resamples=10)
        assert arm.fit.parameters == pytest.approx(closed.parameters, rel=1e-3)


def test_every_pair_of_strokes_differs() -> None:
    assert all(a != b for a, b in combinations(map(str, STROKES), 2))
