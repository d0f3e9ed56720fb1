"""The section on transfer: its numbers against what was measured, and what it does without."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from raystudy.laws.effective_data import EffectiveData
from raystudy.laws.transfer_law import TransferLaw
from raystudy.report import transfer_figures, transfer_tables
from raystudy.report.page import write_report
from raystudy.report.transfer import laws_of, sentences, transfer_parts
from raystudy.report.tuning_ends import tuning_ends
from raystudy.report.view import MissingCellsError
from raystudy.transfer import Suite, suites

from ..claims.nulls import SMALL, of_transfer
from ..laws.transfers import World
from .ledger_fixture import FixedClaim, NamedTask, make_study
from .test_page import Elements

WORLD = World({"web": (300.0, 0.4, 0.4), "code": (900.0, 0.1, 0.4)}, **SMALL)


class Tokens(NamedTask):
    @property
    def unit(self) -> tuple[str, int]:
        return "tokens", 64


def ledger(world: World = WORLD, num_seeds: int = 3, metric: str = "nll") -> pl.DataFrame:
    found = of_transfer(world, np.random.default_rng(0), num_seeds)
    cost = found.with_columns(
        split=pl.lit("cost"), metric=pl.lit("flops"), value=1e6 * pl.col("num_train")
    )
    found = pl.concat([found.with_columns(metric=pl.lit(metric)), cost])
    paid = pl.when(pl.col("method") == "none").then(None).otherwise(1e9)
    return found.with_columns(pretraining_flops=paid)


def study(**changes: Any):
    claim = FixedClaim(text="it is so")
    return make_study(law=EffectiveData(), claims=(claim,), **changes)


@pytest.fixture(scope="module")
def suite() -> Suite:
    return suites(ledger())[0]


@pytest.fixture(scope="module")
def laws(suite: Suite) -> dict[str, TransferLaw]:
    return {arm: law for arm, law in laws_of(suite).items() if isinstance(law, TransferLaw)}


def test_a_study_of_losses_alone_has_a_report(tmp_path: Path) -> None:
    page = write_report(study(), ledger(metric="token-loss"), tmp_path, {"cells": 3})
    found = Elements(page.read_text())
    assert sum(tag == "svg" for tag, _ in found.found) == 4
    for stem in ("transfer-losses", "transfer-law", "transfer-multiplier", "transfer-compute"):
        assert (tmp_path / f"{stem}.pdf").read_bytes().startswith(b"%PDF")
    for stem in ("transfer-data", "transfer-laws", "transfer-curves"):
        assert len(pl.read_csv(tmp_path / f"{stem}.csv"))
    for word in ("nan", "inf ", "None", "accuracy"):
        assert word not in found.text
    assert "it is so" in found.text


def test_data_is_counted_in_the_tasks_unit() -> None:
    grid = study().grids[0].model_copy(update={"tasks": (Tokens(),)})
    (part,) = transfer_parts(study(grids=(grid,)), ledger())
    drawn = next(item for _, item in part.items if item.name == "transfer-law")
    assert drawn.figure.axes[0].get_xlabel() == "fine-tuning data D_F (tokens)"
    table = next(item for _, item in part.items if item.name == "transfer-data")
    assert table.numbers["D_F"].min() == 640


def test_the_table_has_every_point_as_it_was_measured(suite: Suite) -> None:
    table = transfer_tables.point_table(suite)
    assert len(table.rows) == len(table.numbers) == len(suite.measured.points) == 12
    for point in suite.measured.points:
        row = table.numbers.filter(N=point.N, arm=point.arm, D_F=point.D_F).row(0, named=True)
        assert (row["D_T"], row["D_T_low"], row["D_T_high"]) == point.worth.D_T
        assert row["D_E"] == pytest.approx(row["D_T"] + row["D_F"])
        assert row["loss"] == pytest.approx(
            float(np.exp(np.log(_losses(suite, point)).mean())), rel=1e-9
        )


def _losses(suite: Suite, point: Any) -> np.ndarray:
    own = suite.table.filter(arm=point.arm, N=point.N, D_F=point.D_F)
    return own["loss"].to_numpy()


def test_the_law_is_drawn_as_it_was_fitted(suite: Suite, laws: dict[str, TransferLaw]) -> None:
    numbers = transfer_figures.law(suite, laws).numbers.filter(kind="law")
    for arm, law in laws.items():
        k, alpha, beta = (law.parameter(name)[0] for name in ("k", "alpha", "beta"))
        own = numbers.filter(arm=arm)
        expected = k * own["x"].to_numpy() ** alpha * own["parameters"].to_numpy() ** beta
        assert own["y"].to_numpy() == pytest.approx(expected)
        assert (own["low"] < own["y"]).all()
        assert (own["y"] < own["high"]).all()
    table = transfer_tables.law_table(suite, dict(laws)).numbers
    for arm, law in laws.items():
        row = table.filter(arm=arm, parameter="alpha").row(0)
        assert row[2:5] == law.parameter("alpha")


def test_the_multiplier_is_the_data_needed_over_the_data_given(
    suite: Suite, laws: dict[str, TransferLaw]
) -> None:
    marks = transfer_figures.multiplier(suite, laws).numbers.filter(pl.col("kind") != "law")
    for point in suite.measured.points:
        own = marks.filter(arm=point.arm, parameters=point.N, x=point.D_F)
        assert own["y"][0] == pytest.approx(point.worth.D_E[0] / point.D_F)


def test_compute_is_drawn_without_and_with_pre_training(suite: Suite) -> None:
    numbers = transfer_figures.compute(suite).numbers
    alone = numbers.filter(arm="web", kind="training").sort("parameters", "x")
    whole = numbers.filter(arm="web", kind="pre-training too").sort("parameters", "x")
    assert (whole["x"] - alone["x"]).to_numpy() == pytest.approx(1e9)
    assert whole["y"].equals(alone["y"])
    assert numbers.filter(arm="from scratch", kind="pre-training too").is_empty()


def test_what_nobody_counted_is_left_out() -> None:
    (part,) = transfer_parts(study(), ledger().filter(pl.col("split") != "cost"))
    assert part.missing == [
        ("Loss against compute", "needs an adaptation that counts its operations")
    ]


def test_marks_without_a_say_are_open_and_bounds_have_arrows() -> None:
    few = replace(WORLD, arms={"web": (300.0, 0.3, 0.4)}, scratch=(10.0, 30.0, 90.0, 270.0))
    (suite,) = suites(ledger(few))
    drawn = transfer_figures.law(suite, {})
    (axes, *_) = drawn.figure.axes
    marks = [line for line in axes.get_lines() if len(line.get_xdata()) == 1]  # pyright: ignore[reportArgumentType]
    open_marks = [line for line in marks if line.get_markerfacecolor() == "none"]
    without = [point for point in suite.measured.points if point.obstacle]
    assert 0 < len(without) == len(open_marks) < len(marks)
    assert len([t for t in axes.texts if t.arrow_patch is not None]) == len(without)  # pyright: ignore[reportAttributeAccessIssue]


def test_series_are_told_apart_without_colour(suite: Suite, laws: dict[str, TransferLaw]) -> None:
    for drawn in (
        transfer_figures.losses(suite),
        transfer_figures.law(suite, laws),
        transfer_figures.compute(suite),
    ):
        legend: list[Any] = drawn.figure.axes[0].get_legend_handles_labels()[0]
        looks = [(h.get_marker(), str(h.get_linestyle())) for h in legend]
        assert len(set(looks)) == len(looks) >= 2


def test_sentences_say_the_answer_and_what_is_missing() -> None:
    few = replace(WORLD, arms={"web": (300.0, 0.3, 0.4)}, scratch=(10.0, 30.0, 90.0, 270.0))
    (suite,) = suites(ledger(few))
    told = sentences(suite, laws_of(suite))
    assert re.match(r"To a model of 480k parameters .* so many more examples: at least ", told[0])
    assert any("run from scratch on about 540 and 1,080 examples" in sentence for sentence in told)


def test_without_both_arms_there_is_no_report_yet(tmp_path: Path) -> None:
    alone = ledger().filter(pl.col("method") == "none")
    with pytest.raises(MissingCellsError, match="finish one of each"):
        write_report(study(), alone, tmp_path, {})
    with pytest.raises(MissingCellsError, match="sizes of models"):
        write_report(study(), ledger().drop("parameters"), tmp_path, {})


def test_a_law_that_cannot_be_fitted_says_why() -> None:
    (part,) = transfer_parts(study(), ledger().filter(pl.col("parameters") == 30_000))
    table = next(item for _, item in part.items if item.name == "transfer-laws")
    assert "a law takes points at two model sizes or more" in table.caption
    assert {row[-1] for row in table.rows} == {"not fitted"}
    assert "transfer-law" in {item.name for _, item in part.items}


def test_one_seed_still_gives_a_report() -> None:
    (part,) = transfer_parts(study(), ledger(num_seeds=1))
    assert not part.missing
    texts = [*part.sentences, *(item.caption for _, item in part.items)]
    texts += [text for kind, item in part.items if kind == "table" for r in item.rows for text in r]
    assert not re.search("nan|inf |∞|None", " ".join(texts))


def test_optima_at_an_end_are_counted() -> None:
    def run(rate: float, step: int) -> str:
        losses = "0.001:1.2 0.003:1.1 0.01:nan"
        return json.dumps({"learning_rate": rate, "step": step, "validation_losses": losses})

    runs = [run(0.001, 20), run(0.003, 200), run(0.01, 200), run(0.01, 40), "{}"]
    assert tuning_ends(runs) == (
        "The best learning rate was the lowest of those tried in 1 and the highest in 2 of 4 runs, "
        "and training was best at the last step that any run took (200) in 2 of 4."
    )
    assert tuning_ends(["{}"]) == ""
