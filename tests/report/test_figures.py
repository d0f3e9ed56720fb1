import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from raystudy.laws.power import OffsetPower
from raystudy.report import curves, figures
from raystudy.report.style import compact, readable_ticks, spread
from raystudy.report.view import MissingCellsError, View, difference, in_order, seed_means, views
from raystudy.spec import Study

from .ledger_fixture import LAWS, SHIFTS


@pytest.fixture(scope="module")
def view(study: Study, records: pl.DataFrame) -> View:
    return views(study, records)[0]


def plain(records: pl.DataFrame, **axes: str | int) -> np.ndarray:
    """Test accuracies of exactly one arm, straight from the ledger."""
    rows = records.filter(metric="accuracy", **axes)  # pyright: ignore[reportArgumentType]
    return rows["value"].to_numpy()


def test_shots_figure_draws_the_means_of_the_ledger(view: View, records: pl.DataFrame) -> None:
    numbers = figures.accuracy_by_shots(view).numbers
    assert set(numbers["source"]) == {*LAWS, "none"}
    for row in numbers.iter_rows(named=True):
        values = plain(
            records,
            split="test",
            noise="clean",
            size=0 if row["source"] == "none" else 8000,
            method="none" if row["source"] == "none" else "supervised",
            source=row["source"],
            adaptation=row["adaptation"],
            shots=row["shots"],
        )
        assert row["num_seeds"] == len(values) == 3
        oracle = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
        assert [row["accuracy"], row["low"], row["high"]] == pytest.approx([values.mean(), *oracle])


def test_robustness_draws_every_shift(view: View, records: pl.DataFrame) -> None:
    numbers = figures.robustness(view).numbers
    assert set(numbers["split"]) == {"test", *(f"test-{s}" for s in SHIFTS)}
    row = numbers.row(
        by_predicate=(pl.col("source") == "greek") & (pl.col("split") == "test-noisy")
    )
    arm = {"source": "greek", "size": 8000, "shots": "10", "adaptation": "linear-probe"}
    assert row[2] == pytest.approx(plain(records, split="test-noisy", **arm).mean())


def test_methods_share_source_and_size(view: View) -> None:
    numbers, source, size = figures.methods_numbers(view)
    assert (source, size) == ("latin", 8000)
    assert set(numbers["method"]) == {"supervised", "clip", "simclr", "none"}


def test_size_figure_holds_every_run_and_a_band_around_the_truth(
    view: View, records: pl.DataFrame
) -> None:
    arms = curves.source_arms(view, OffsetPower())
    numbers = curves.error_by_size(view, arms).numbers
    runs, law = numbers.filter(kind="run"), numbers.filter(kind="law")
    assert len(runs) == 3 * 5 * 3
    assert law["size"].max() == 2 * 8000
    for source, (floor, factor, exponent) in LAWS.items():
        arm = {"source": source, "noise": "clean", "method": "supervised", "split": "test"}
        found = plain(records, adaptation="linear-probe", shots="10", **arm)
        assert sorted(runs.filter(arm=source)["error"]) == pytest.approx(sorted(1 - found))
        seen = law.filter(pl.col("arm") == source, pl.col("size") <= 8000)
        truth = floor + factor * seen["size"].to_numpy() ** -exponent
        assert np.abs(np.log(seen["error"].to_numpy() / truth)).max() < 0.1
        assert (seen["low"] <= seen["error"]).all()
        assert (seen["error"] <= seen["high"]).all()


def test_noise_figure_counts_the_sizes_it_harms(view: View) -> None:
    drawn = curves.noise_by_size(view, curves.noise_arms(view, OffsetPower()))
    assert set(drawn.numbers["arm"]) == {"clean", "symmetric-0.3", "symmetric-0.6"}
    assert "higher than clean at 5 of 5 sizes" in drawn.caption


def test_one_seed_has_no_interval(study: Study, records: pl.DataFrame) -> None:
    view = views(study, records.filter(seed=0))[0]
    numbers = figures.accuracy_by_shots(view).numbers
    assert numbers["low"].is_null().all()
    law = curves.error_by_size(view, curves.source_arms(view, OffsetPower())).numbers
    assert law.filter(kind="law")["high"].is_null().all()


def test_two_sizes_are_drawn_without_a_law(study: Study, records: pl.DataFrame) -> None:
    view = views(study, records.filter(pl.col("size").is_in([4000, 8000])))[0]
    drawn = curves.error_by_size(view, curves.source_arms(view, OffsetPower()))
    assert set(drawn.numbers["kind"]) == {"run"}
    assert "No law: latin, greek and symbols: a law needs 3 distinct x" in drawn.caption


def test_the_headline_size_is_one_that_sources_share(study: Study, records: pl.DataFrame) -> None:
    uneven = records.filter((pl.col("source") == "latin") | (pl.col("size") <= 2000))
    assert views(study, uneven)[0].size == 2000


def test_methods_need_a_second_one(study: Study, records: pl.DataFrame) -> None:
    view = views(study, records.filter(pl.col("method").is_in(["supervised", "none"])))[0]
    with pytest.raises(MissingCellsError, match="second method"):
        figures.methods_side_by_side(view)


def test_cells_that_no_axis_tells_apart_are_refused(study: Study, records: pl.DataFrame) -> None:
    again = records.with_columns(cell=pl.col("cell") + "/other-budget")
    with pytest.raises(ValueError, match="give the variants names of their own"):
        views(study, pl.concat([records, again]))


def test_differences_are_paired_by_seed() -> None:
    a = pl.DataFrame({"seed": [0, 1, 2], "value": [0.5, 0.7, 0.9]})
    b = pl.DataFrame({"seed": [2, 1, 5], "value": [0.8, 0.5, 0.0]})
    gap = difference(a, b)
    assert gap
    assert gap["mean"] == pytest.approx(0.15)
    assert gap["num_seeds"] == 2
    assert difference(a, b.filter(seed=5)) is None


def test_order_follows_the_study() -> None:
    frame = pl.DataFrame({"shots": ["full", "1", "10"], "value": [1.0, 2.0, 3.0], "seed": 0})
    means = in_order(seed_means(frame, "shots"), shots=("1", "10", "full"))
    assert means["shots"].to_list() == ["1", "10", "full"]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.01, 0.2))
def test_spread_labels_keep_order_and_distance(places: list[float], gap: float) -> None:
    at = np.sort(np.array(places))
    spaced = spread(at, gap)
    assert (np.diff(spaced) >= gap - 1e-9).all()
    assert spaced.mean() == pytest.approx(at.mean())
    if (np.diff(at) >= gap).all():
        assert spaced == pytest.approx(at)


@given(st.floats(0.05, 90), st.floats(1.05, 50))
def test_ticks_lie_inside_and_are_enough(low: float, ratio: float) -> None:
    ticks = readable_ticks(low, low * ratio)
    assert ticks == sorted(set(ticks))
    assert all(low <= t <= low * ratio for t in ticks)
    if ratio > 5:
        assert len(ticks) >= 4


@pytest.mark.parametrize(
    ("count", "text"), [(500, "500"), (1000, "1k"), (2_700_000, "2.7M"), (4e8, "400M")]
)
def test_counts_are_compact(count: float, text: str) -> None:
    assert compact(count) == text
