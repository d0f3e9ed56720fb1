"""Anybody's table, by its columns."""

import numpy as np
import polars as pl
import pytest

from raystudy.laws import (
    BoundedPower,
    Chinchilla,
    FitError,
    FitStatus,
    Loss,
    OffsetPower,
    Power,
    RepeatedData,
    ShiftedPower,
    compare,
    fit,
)
from raystudy.laws.fit import fit_law
from raystudy.laws.table import variance_weights

from .truths import TRUTHS

SIZES = np.geomspace(1e3, 1e6, 12)


def frame(num_seeds=1, noise=0.01, sizes=SIZES, shared=0.0, seed=0):
    rng = np.random.default_rng(seed)
    size = np.repeat(sizes, num_seeds)
    seeds = np.tile(np.arange(num_seeds), len(sizes))
    of_seed = rng.normal(0, shared, num_seeds)[seeds] if shared else 0
    error = (0.1 + 5 * size**-0.4) * np.exp(rng.normal(0, noise, len(size)) + of_seed)
    return pl.DataFrame({"size": size, "error": error, "seed": seeds})


def test_polars_pandas_dictionaries_and_arrays_are_one():
    table = frame()
    pandas = pytest.importorskip("pandas")
    columns = {name: table[name].to_list() for name in table.columns}
    found = [
        fit(t, OffsetPower(), x="size", y="error", num_resamples=50).resampled
        for t in (table, pandas.DataFrame(columns), columns)
    ]
    size, error = table["size"].to_numpy(), table["error"].to_numpy()
    found.append(fit(None, OffsetPower(), x=size, y=error, num_resamples=50).resampled)
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


def test_several_inputs_are_columns_or_one_array():
    truth = next(t for t in TRUTHS if t.name == "Chinchilla")
    table = {"params": truth.x[:, 0], "tokens": truth.x[:, 1], "loss": truth.y}
    named = fit(table, Chinchilla(), x=["params", "tokens"], y="loss", num_resamples=0)
    whole = fit(None, Chinchilla(), x=truth.x, y=truth.y, num_resamples=0)
    np.testing.assert_array_equal(named.parameters, whole.parameters)
    y, low, high = named.predict([1e9, 1e10])
    assert y.shape == (1,)
    assert (low, high) == (-np.inf, np.inf)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": "sizes"}, r"no column 'sizes'; it has \['size', 'error', 'seed'\]"),
        ({"y": "name"}, "no column 'name'"),
        ({"seed": "seed", "run": "seed"}, "not both"),
        ({"fixed": {"beta": 1.0}}, r"no parameter 'beta'.*alpha"),
        ({"fixed": {"alpha": 9.0}}, r"alpha in 9 is not within"),
        ({"bounds": {"alpha": (0.5, 9.0)}}, r"alpha in \[0.5, 9\] is not within"),
        ({"loss": "cubic"}, "no loss on 'cubic'"),
        ({"weights": "seed variance"}, "several runs"),
    ],
)
def test_a_wrong_word_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        fit(frame(), OffsetPower(), **{"x": "size", "y": "error"} | change)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.3, 0.2, np.nan, 0.1], r"'error' must be finite.*\[2\]"),
        ([0.3, 0.2, 0.1, 0.0], "scale 'log' has no place for"),
        (["a", "b", "c", "d"], "'error' holds something that is no number"),
        ([30.0, 20.0, 10.0, 9.0], "percent"),
        ([0.3, 0.2, 0.1], "lengths"),
    ],
)
def test_a_wrong_value_is_named(values, message):
    table = {"size": [1.0, 2.0, 3.0, 4.0], "error": values}
    with pytest.raises(FitError, match=message):
        fit(table, OffsetPower(), x="size", y="error", loss="log")


def test_fewer_points_than_parameters_are_refused():
    with pytest.raises(FitError, match="5 free parameters and the runs have 4 distinct x"):
        fit(frame(3, sizes=SIZES[:4]), BoundedPower(), x="size", y="error")


def test_least_squares_on_y_is_what_studies_fit():
    table = frame(6, 0.02)
    size, error, seed = (table[c].to_numpy() for c in ("size", "error", "seed"))
    exact = fit_law(OffsetPower(), size, error, seed)
    found = fit(table, OffsetPower(), x="size", y="error", seed="seed")
    np.testing.assert_allclose(found.parameters, exact.parameters, rtol=1e-5)
    np.testing.assert_allclose(found.resampled.mean(0), exact.resampled.mean(0), rtol=1e-3)
    assert found.widening > 1


def test_a_fit_in_words_says_what_was_found():
    found = fit(frame(6), OffsetPower(), x="size", y="error", seed="seed", loss="log")
    text = found.report()
    assert found.status is FitStatus.FINE, found.reasons
    for words in ("E + A·x^−α", "fine", "  alpha = ", "held out x > 5e+05", "seeds"):
        assert words in text


def test_seeds_that_shift_curves_widen_the_band_and_rows_would_not():
    table = frame(6, 0.002, shared=0.05)
    apart = [
        np.log(high / low).item()
        for _, low, high in (
            fit(table, OffsetPower(), x="size", y="error", seed=s, loss="log").predict([1e4])
            for s in ("seed", None)
        )
    ]
    assert apart[0] > 2 * apart[1]


def test_a_band_of_runs_holds_the_runs():
    table = frame(4, 0.05)
    found = fit(table, OffsetPower(), x="size", y="error", loss="log", coverage=0.9)
    x, y = table["size"].to_numpy(), table["error"].to_numpy()
    _, low, high = found.predict(x, of="run")
    _, inner_low, inner_high = found.predict(x)
    assert 0.8 < np.mean((low < y) & (y < high)) <= 1
    assert np.mean((inner_low < y) & (y < inner_high)) < 0.7


def test_checkpoints_of_a_run_are_drawn_together():
    table = frame(8, 0.001, shared=0.05)
    together = fit(table, OffsetPower(), x="size", y="error", run="seed", loss="log")
    apart = fit(table, OffsetPower(), x="size", y="error", loss="log")
    (_, low, high), (_, inner_low, inner_high) = together.predict([1e4]), apart.predict([1e4])
    assert low < inner_low
    assert high > inner_high


def test_weights_by_seed_variance_follow_the_scatter():
    rng = np.random.default_rng(0)
    x = np.repeat([1.0, 2.0, 3.0], 200)
    values = rng.normal(0, np.repeat([1.0, 2.0, 4.0], 200))
    weights = variance_weights(x, values)
    ratio = weights[[0, 200, 400]] / weights[0]
    assert ratio == pytest.approx([1, 1 / 4, 1 / 16], rel=0.3)
    few = variance_weights(x[[0, 1, 200, 201]], values[[0, 1, 200, 201]])
    assert few.max() / few.min() < 5  # two runs do not know their variance


def test_a_parameter_that_is_not_identified_is_told():
    x = np.geomspace(1e3, 1e6, 12)
    y = 5 * x**-0.4 * np.exp(np.random.default_rng(1).normal(0, 0.01, 12))
    found = fit(None, BoundedPower(), x=x, y=y)
    assert found.status is not FitStatus.FINE
    assert not found.profile("E0").identified
    assert fit(None, Power(), x=x, y=y).profile("alpha").identified


def test_a_profile_agrees_with_the_normal_interval_where_the_curve_is_nearly_linear():
    table = frame(4, 0.005)
    found = fit(table, Power(), x="size", y="error", loss="log", fixed={})
    x, y = np.log(table["size"].to_numpy()), np.log(table["error"].to_numpy())
    slope, _ = np.polyfit(x, y, 1)
    residuals = y - np.polyval(np.polyfit(x, y, 1), x)
    error = np.sqrt(residuals @ residuals / (len(x) - 2) / np.sum((x - x.mean()) ** 2))
    profile = found.profile("alpha", num_values=81)
    assert found.parameters[1] == pytest.approx(-slope)
    assert profile.low == pytest.approx(-slope - 1.96 * error, abs=0.02 * error)
    assert profile.high == pytest.approx(-slope + 1.96 * error, abs=0.02 * error)


def test_residuals_in_order_are_told():
    x = np.geomspace(1e3, 1e6, 30)
    y = 0.1 + 5 * x**-0.4
    found = fit(None, Power(), x=x, y=y)
    assert found.status is FitStatus.WEAK
    assert any("residuals along x change sign" in reason for reason in found.reasons)


def test_holding_out_is_a_fit_without_and_a_look():
    table = frame(2)
    found = fit(table, OffsetPower(), x="size", y="error", loss="log", num_resamples=0)
    held = found.holdout()
    small = table.filter(pl.col("size") <= SIZES.max() / 2)
    large = table.filter(pl.col("size") > SIZES.max() / 2)
    alone = fit(small, OffsetPower(), x="size", y="error", loss="log", num_resamples=0)
    curve = np.asarray(alone.law.predict(large["size"].to_numpy(), alone.parameters))
    miss = np.log(curve / large["error"].to_numpy())
    assert held.rmse_log == pytest.approx(np.sqrt(np.mean(miss**2)))
    assert held.num_fitted == len(small)
    assert held.rmse_log_fitted == pytest.approx(alone.rmse)


def test_rolling_origin_starts_where_the_law_can():
    found = fit(frame(2), OffsetPower(), x="size", y="error", loss="log", num_resamples=0)
    rolling = found.rolling()
    assert rolling.cutoffs == pytest.approx(SIZES[3:-1])
    assert rolling.overall < 0.2
    table = frame(2).filter(pl.col("size") <= SIZES[5] * 1.001)
    before = fit(table, OffsetPower(), x="size", y="error", loss="log", num_resamples=0)
    following = frame(2).filter(
        (pl.col("size") > SIZES[5] * 1.001) & (pl.col("size") < SIZES[6] * 1.001)
    )
    curve = np.asarray(before.law.predict(following["size"].to_numpy(), before.parameters))
    miss = np.log(curve / following["error"].to_numpy())
    assert rolling.rmse_log[2] == pytest.approx(np.sqrt(np.mean(miss**2)), rel=1e-5)
    with pytest.raises(FitError, match="no input 'tokens'"):
        found.rolling("tokens")


def test_a_comparison_finds_the_form_that_made_the_runs():
    ranked = compare(
        frame(3, 0.005),
        [Power(), OffsetPower(), ShiftedPower(), RepeatedData()],
        x="size",
        y="error",
    )
    assert type(ranked[0].law).__name__ in ("OffsetPower", "ShiftedPower")
    refused = ranked[-1]
    assert isinstance(refused.law, RepeatedData)
    assert "inputs" in refused.refusal
    power = next(s for s in ranked if isinstance(s.law, Power))
    assert power.aicc > ranked[0].aicc + 10
    assert power.held_out > 3 * ranked[0].held_out


def test_a_form_pays_for_what_it_does_not_need():
    x = np.geomspace(1e3, 1e6, 40)
    y = 5 * x**-0.4 * np.exp(np.random.default_rng(2).normal(0, 0.02, 40))
    standings = {
        type(s.law).__name__: s for s in compare(None, [Power(), BoundedPower()], x=x, y=y)
    }
    assert standings["Power"].bic < standings["BoundedPower"].bic


def test_a_loss_is_checked():
    with pytest.raises(ValueError, match="positive"):
        Loss("log", delta=0.0)


def test_rows_that_are_stored_twice_are_told():
    table = frame()
    twice = fit(pl.concat([table, table]), OffsetPower(), x="size", y="error", num_resamples=0)
    assert any("12 rows repeat another" in reason for reason in twice.reasons)
