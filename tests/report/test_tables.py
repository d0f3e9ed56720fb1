import polars as pl
import pytest

from raystudy.laws.power import OffsetPower
from raystudy.report import curves, tables
from raystudy.report.summary import best_arm, summary
from raystudy.report.view import View, views
from raystudy.spec import Study


@pytest.fixture(scope="module")
def view(study: Study, records: pl.DataFrame) -> View:
    return views(study, records)[0]


def test_source_cells_are_means_in_percent(view: View, records: pl.DataFrame) -> None:
    table = tables.source_table(view)
    assert table.header[1:] == ("1 shot", "5 shots", "10 shots", "20 shots", "full data")
    row = next(row for row in table.rows if row[0] == "symbols")
    mean = records.filter(
        metric="accuracy",
        split="test",
        source="symbols",
        size=8000,
        adaptation="linear-probe",
        shots="10",
    )["value"].mean()
    assert float(row[3].split(" ± ")[0]) == pytest.approx(100 * mean, abs=0.051)  # pyright: ignore


def test_multipliers_find_the_made_up_noise(view: View) -> None:
    noises = curves.noise_arms(view, OffsetPower())
    worths = tables.worths(OffsetPower(), noises, noises[0])
    table = tables.multiplier_table(worths)
    # Noise r leaves (1 − r)^1.5 of the examples, so clean data is worth the inverse.
    for rate, found in zip((0.3, 0.6), table.numbers["multiplier"], strict=True):
        assert found == pytest.approx((1 - rate) ** -1.5, rel=0.2)
    assert "stretched for how few these are" in table.caption


def test_unpaired_arms_are_refused_not_hidden(study: Study, records: pl.DataFrame) -> None:
    uneven = records.filter((pl.col("source") != "symbols") | (pl.col("seed") != 2))
    view = views(study, uneven)[0]
    arms = curves.source_arms(view, OffsetPower())
    table = tables.multiplier_table(tables.worths(OffsetPower(), arms, best_arm(arms)))
    refused = table.numbers.filter(worse="symbols")
    assert refused["multiplier"][0] is None
    assert "seeds" in refused["refusal"][0]


def test_law_table_names_parameters_status_and_reasons(view: View) -> None:
    law = OffsetPower()
    sources, noises = curves.source_arms(view, law), curves.noise_arms(view, law)
    table = tables.law_table(law, sources, noises)
    # The clean arm of the noise figure is the latin arm of the source figure: listed once.
    assert [row[1] for row in table.rows] == [
        "latin",
        "greek",
        "symbols",
        "symmetric-0.3",
        "symmetric-0.6",
    ]
    assert set(table.numbers["parameter"]) == set(law.parameters)
    assert "resampling 3 seeds" in table.caption


def test_realised_noise_is_read_from_the_ledger(view: View) -> None:
    numbers = tables.noise_table(view).numbers
    assert numbers["nominal"].to_list() == [0.3, 0.6]
    assert numbers["realised"].to_list() == pytest.approx([0.297, 0.594])
    assert numbers["num_backbones"].to_list() == [15, 15]


def test_summary_leads_with_the_winner(view: View) -> None:
    law = OffsetPower()
    sources, noises = curves.source_arms(view, law), curves.noise_arms(view, law)
    worths = tables.worths(law, sources, best_arm(sources))
    first, *rest = summary(view, noises, worths, tables.worths(law, noises, noises[0]))
    assert "latin" in first
    assert "more than random features" in first
    assert any("Clean data is worth" in sentence for sentence in rest)


def test_a_lead_within_noise_is_called_so(study: Study, records: pl.DataFrame) -> None:
    twin = records.filter(source="latin", noise="clean").with_columns(
        value=pl.col("value") + pl.col("seed").replace_strict({0: 0.02, 1: -0.02, 2: -0.003}),
        source=pl.lit("twin"),
    )
    both = pl.concat([records.filter(source="latin"), twin])
    sentences = " ".join(summary(views(study, both)[0], [], [], []))
    assert "within the noise of seeds" in sentences
