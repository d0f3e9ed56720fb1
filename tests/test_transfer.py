"""From records to runs of transfer, and what to run next."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from raystudy.annotate import with_pretraining_flops
from raystudy.experiment import load
from raystudy.laws.transfer import SCRATCH
from raystudy.spec import Study
from raystudy.transfer import gap_sentences, gaps, measured_arms, suites

from .claims.nulls import AS_NEAR, of_transfer
from .laws.transfers import FROM_SCRATCH, World

FILE = Path(__file__).parents[1] / "experiments" / "transfer_laws.py"
STUDY = load(FILE).study(["--modality", "image", "--scale", "tiny", "--seeds", "1"])


def untold(study: Study) -> pl.DataFrame:
    """The backbones of a study, and what the ledger calls them."""
    rows = [{"backbone": c.backbone.key, "method": c.axes()["method"]} for c in study.cells()]
    return pl.DataFrame(rows)


@pytest.fixture(scope="module")
def records() -> pl.DataFrame:
    return of_transfer(AS_NEAR, np.random.default_rng(0), 3)


def test_every_run_is_a_row_counted_in_the_tasks_unit(records: pl.DataFrame) -> None:
    (suite,) = suites(records, {"digits": ("tokens", 64)})
    assert (suite.unit, suite.metric) == ("tokens", "nll")
    assert len(suite.table) == len(records)
    assert set(suite.table["arm"]) == {SCRATCH, "web", "code"}
    examples = records.filter(source="web")["num_train"].unique().sort() * 64
    found = suite.table.filter(arm="web")["D_F"].unique().sort()
    assert found.to_list() == examples.to_list()
    values = suite.table.join(records, left_on="loss", right_on="value")
    assert (values["N"] == values["parameters"]).all()


def test_a_loss_of_tokens_comes_first_and_accuracy_is_not_asked_for(records: pl.DataFrame) -> None:
    tokens = records.with_columns(metric=pl.lit("token-loss"), value=2 * pl.col("value"))
    (suite,) = suites(pl.concat([records, tokens]))
    assert suite.metric == "token-loss"
    assert suite.table["loss"].sum() == pytest.approx(2 * records["value"].sum())


def test_arms_are_called_by_what_tells_them_apart(records: pl.DataFrame) -> None:
    trained = pl.col("method") != "none"
    larger = records.filter(trained).with_columns(size=pl.lit(999).cast(pl.Int64))
    (suite,) = suites(pl.concat([records, larger]))
    assert set(suite.table["arm"]) == {SCRATCH, "web 6400", "web 999", "code 6400", "code 999"}
    only = records.filter((pl.col("source") == "web") | ~trained)
    assert set(suites(only)[0].table["arm"]) == {SCRATCH, "web"}
    each = pl.when(pl.col("source") == "web").then(pl.lit("a")).otherwise(pl.lit("b"))
    methods = records.with_columns(method=pl.when(trained).then(each).otherwise("method"))
    assert set(suites(methods)[0].table["arm"]) == {SCRATCH, "web", "code"}


def test_compute_is_that_of_one_learning_rate(records: pl.DataFrame) -> None:
    spent = records.with_columns(split=pl.lit("cost"), metric=pl.lit("flops"), value=pl.lit(6e9))
    (suite,) = suites(pl.concat([records, spent]))
    assert set(suite.table["flops"]) == {2e9}
    assert suites(records)[0].table["flops"].null_count() == len(records)


def test_two_models_of_one_size_are_refused(records: pl.DataFrame) -> None:
    same = records.with_columns(parameters=pl.lit(30_000).cast(pl.Int64))
    with pytest.raises(ValueError, match="give each model size one architecture"):
        suites(same)


def test_what_is_missing_is_named(records: pl.DataFrame) -> None:
    with pytest.raises(ValueError, match="sizes of models"):
        measured_arms(records.drop("parameters"), "digits", ["web"])
    with pytest.raises(ValueError, match="no losses on digits from scratch and after xyz; run"):
        measured_arms(records, "digits", ["xyz"])
    with pytest.raises(ValueError, match="no loss on digits after xyz; run it"):
        measured_arms(records, "digits", ["web", "xyz"])
    other = records.with_columns(adaptation=pl.lit("lp-ft"))
    with pytest.raises(ValueError, match="several adaptations, fine-tune, lp-ft; name one"):
        measured_arms(pl.concat([records, other]), "digits", ["web"])
    assert measured_arms(records, "digits", ["code", "web"]).arms == ("code", "web")


def test_gaps_say_what_to_run_from_scratch() -> None:
    few = World({"web": (300.0, 0.3, 0.4)}, scratch=FROM_SCRATCH[3:6], models=(3e4, 4.8e5))
    (suite,) = suites(of_transfer(few, np.random.default_rng(0), 3), {"digits": ("tokens", 8)})
    found = {(gap.N, gap.sizes): len(gap.points) for gap in gaps(suite.measured)}
    largest, smallest = 8 * FROM_SCRATCH[5], 8 * FROM_SCRATCH[3]
    assert (4.8e5, (2 * largest, 4 * largest)) in found
    assert all(
        gap.sizes[0] > largest or gap.sizes[0] < smallest or "form" in gap.why
        for gap in gaps(suite.measured)
    )
    told = " ".join(gap_sentences(suite))
    assert "With 480,000 parameters D_E is beyond the runs from scratch" in told
    assert "640 and 1,280 training examples (5,120 and 10,240 tokens)" in told


def test_a_study_without_gaps_has_nothing_to_say(records: pl.DataFrame) -> None:
    (suite,) = suites(records)
    assert gap_sentences(suite) == []


def test_pre_training_is_paid_by_the_sample() -> None:
    found = with_pretraining_flops(STUDY, untold(STUDY))
    of_scratch = found.filter(pl.col("method") == "none")
    assert of_scratch["pretraining_flops"].null_count() == len(of_scratch)
    trained = found.filter(pl.col("method") != "none")
    per_sample = (trained["pretraining_flops"] / 384).unique()  # three batches of 128
    assert len(per_sample) == 2  # as many as there are widths
    narrow, wide = per_sample.sort()
    stem = 2 * 64 * (7 * 7 * 3) * (8 * 8)  # its filters, their weights, the places they look at
    assert 2 * stem < narrow < wide < 6 * stem
