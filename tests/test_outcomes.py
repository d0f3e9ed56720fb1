"""Roles of splits, and what models reach in and out of distribution, side by side."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from raystudy.annotate import annotated, role
from raystudy.claims.model_over_adaptation import ModelOverAdaptation
from raystudy.claims.trend_over_models import TrendOverModels
from raystudy.ledger import SCHEMA
from raystudy.outcomes import MODEL, outcomes
from raystudy.report import model_choice, model_figures, model_tables, models
from raystudy.report.view import MissingCellsError
from raystudy.robustness import accuracy_line
from raystudy.spec import Study
from raystudy.stages.answers import CLASSES, SPREADS
from raystudy.tasks.digits import Digits
from raystudy.tasks.glyph_domains import DOMAINS, GlyphDomains

HELD_OUT = GlyphDomains(held_out=DOMAINS[0])

NONE = pl.DataFrame(schema=SPREADS)


def record(**fields: Any) -> dict[str, Any]:
    blank = dict.fromkeys(SCHEMA.names()) | {"family": "resnet", "data": "latin"}
    axes = {"method": "supervised", "source": "latin", "size": 100, "noise": "clean"}
    axes |= {"task": "held-out", "adaptation": "linear-probe", "shots": "full", "seed": 0}
    axes |= {"architecture": "a", "parameters": 1_000, "metric": "accuracy"}
    return blank | axes | fields


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    more = {"family": pl.String, "parameters": pl.Int64, "data": pl.String, "role": pl.String}
    return pl.DataFrame(rows, schema=dict(SCHEMA) | more)


def test_the_role_of_a_split_is_its_tasks() -> None:
    assert [role(Digits(), s) for s in ("validation", "test", "test-noisy", "cost")] == [
        *("", "id", "ood", "")
    ]
    splits = ("validation", "test", "test-in", "test-out", "test-unknown", "cost")
    assert [role(HELD_OUT, s) for s in splits] == ["id", "ood", "ood in", "ood out", "", ""]


def test_shifts_are_averaged_and_the_three_protocols_named() -> None:
    rows = [record(role="id", value=0.9)]
    rows += [record(role="ood", value=v) for v in (0.5, 0.7)]
    rows += [record(role="ood in", value=0.8), record(role="ood out", value=0.4)]
    found = outcomes(frame(rows)).row(0, named=True)
    assert found["id_accuracy"] == 0.9
    assert found["ood_accuracy"] == pytest.approx(0.6)
    assert (found["ood_in_accuracy"], found["ood_out_accuracy"]) == (0.8, 0.4)
    assert found["ood_mean_accuracy"] == pytest.approx(0.6)


def test_what_was_not_measured_on_both_sides_is_left_out() -> None:
    assert outcomes(frame([record(role="id", value=0.9)])).is_empty()
    whole = [record(role=r, value=0.5, seed=s) for r in ("id", "ood") for s in (0, 1)]
    found = outcomes(frame([*whole, record(role="id", value=0.9, seed=2)]))
    assert found["seed"].to_list() == [0, 1]


def compared(rows: pl.DataFrame) -> list[models.Comparison]:
    return models.comparisons(rows, ("fine-tune", "linear-probe"), rows["task"])


def grid(value, seeds=(0, 1, 2), ways=("linear-probe", "fine-tune")) -> pl.DataFrame:
    """``value(model, way, seed)`` out of distribution, of three models of growing size."""
    return frame(
        [
            record(
                role=r,
                metric=metric,
                value=value(m, w, s) if metric == "accuracy" else 1 - value(m, w, s),
                architecture="abc"[m],
                parameters=1_000 * 4**m,
                adaptation=way,
                seed=s,
            )
            for r in ("id", "ood")
            for metric in ("accuracy", "ece")
            for m in range(3)
            for w, way in enumerate(ways)
            for s in seeds
        ]
    )


def test_models_move_more_than_adaptations() -> None:
    verdict = ModelOverAdaptation().judge(grid(lambda m, w, s: 0.5 + 0.1 * m + 0.02 * w + 1e-3 * s))
    assert verdict.status == "supported"
    assert verdict.effect == pytest.approx(10 - 2 / 2**0.5, abs=1e-6)
    other = ModelOverAdaptation().judge(grid(lambda m, w, s: 0.5 + 0.01 * m + 0.2 * w + 1e-3 * s))
    assert other.status == "contradicted"


def test_a_claim_on_models_asks_for_two_ways() -> None:
    with pytest.raises(ValueError, match="adapted in all of 1 ways"):
        ModelOverAdaptation().judge(grid(lambda m, w, s: 0.5, ways=("linear-probe",)))
    bare = grid(lambda m, w, s: 0.5).drop("role")
    with pytest.raises(ValueError, match="two architectures"):
        ModelOverAdaptation().judge(bare)


def test_the_trend_is_a_slope_a_doubling() -> None:
    noise = [0.001, -0.002, 0.001]
    rows = grid(lambda m, w, s: 0.5 + 0.04 * m + noise[s] * m)
    claim = TrendOverModels(against="parameters", adaptation="fine-tune")
    verdict = claim.judge(rows)
    assert verdict.status == "supported"
    assert verdict.effect == pytest.approx(2.0)  # four times the parameters: two doublings
    calibrated = claim.model_copy(update={"of": "ood_ece"}).judge(rows)
    assert (calibrated.status, calibrated.effect) == ("supported", pytest.approx(-2.0))
    with pytest.raises(ValueError, match="differ in size alone"):
        claim.model_copy(update={"against": "size"}).judge(rows)


def test_like_is_compared_with_like() -> None:
    """A source that is better and was learnt from by the large model alone is no trend."""
    rows = grid(lambda m, w, s: 0.5 + 0.001 * s)
    better = rows.filter(architecture="c").with_columns(
        source=pl.lit("greek"), value=pl.col("value") + 0.3
    )
    mixed = pl.concat([rows.filter(pl.col("architecture") != "c"), better])
    verdict = TrendOverModels(against="parameters", adaptation="fine-tune").judge(mixed)
    assert abs(verdict.effect) < 1e-9


def test_figures_and_tables_of_models_hold_their_numbers() -> None:
    (tuned, probe) = compared(grid(lambda m, w, s: 0.5 + 0.1 * m + 0.02 * w))
    place = tuned.means.select(*MODEL).row(0)
    limits = [("fine-tune", "full", *place, 1, "ood_accuracy", 0.72, 0.70, 0.741)]
    table = model_tables.model_table(tuned, pl.DataFrame(limits, SPREADS, orient="row"))
    assert [row[0].split()[0] for row in table.rows] == ["c", "b", "a"]
    assert [row[table.header.index("OOD accuracy")] for row in table.rows] == [
        "72.0 (70.0 … 74.1)",
        "62.0",
        "52.0",
    ]
    assert table.numbers["ood_accuracy_low"].to_list() == [0.70, None, None]
    ways = model_tables.ways_table([tuned, probe])
    assert [row[1:] for row in ways.rows] == [("72.0", "70.0"), ("62.0", "60.0"), ("52.0", "50.0")]
    drawn = model_figures.ood_against_id(tuned)
    assert len(drawn.numbers) == 3
    assert drawn.numbers["ood_accuracy"].to_list() == pytest.approx([0.52, 0.62, 0.72])
    assert model_figures.against_parameters(tuned, "ood_ece").numbers["parameters"].max() == 16_000
    choice = model_tables.best_table([tuned, probe]).numbers.row(0, named=True)
    assert choice["reference"] == choice["best_adaptation"] == pytest.approx(0.62)
    assert choice["best_model"] == pytest.approx(0.72)


def test_without_a_metric_of_calibration_its_figures_are_missing() -> None:
    (found, _) = compared(grid(lambda m, w, s: 0.5 + 0.1 * m).filter(metric="accuracy"))
    for draw in (
        lambda: model_figures.against_parameters(found, "ood_ece"),
        lambda: model_figures.calibration_against_accuracy(found),
    ):
        with pytest.raises(MissingCellsError, match="ood_ece"):
            draw()
    assert "ood_ece" not in model_tables.model_table(found, NONE).numbers.columns


def test_adaptations_are_chosen_among_those_of_as_many_shots() -> None:
    full = grid(lambda m, w, s: 0.6 + 0.1 * m + 0.02 * w)
    few = grid(lambda m, w, s: 0.3 + 0.1 * m + 0.02 * w).with_columns(shots=pl.lit("10"))
    found = compared(pl.concat([full, few]))
    assert (found[0].shots, len(found)) == ("10", 4)
    choice = model_tables.best_table(found).numbers.row(0, named=True)
    assert choice["reference"] == choice["best_adaptation"] == pytest.approx(0.42)
    assert choice["best_model"] == pytest.approx(0.52)


def test_a_score_that_lacks_a_task_keeps_its_columns() -> None:
    rows = grid(lambda m, w, s: 0.5 + 0.1 * m, seeds=(0,), ways=("probe",))
    tasks = [
        rows.with_columns(task=pl.lit(task), backbone=pl.col("architecture"))
        for task in ("first", "second")
    ]
    (found,) = compared(pl.concat(tasks))
    values = [
        {"backbone": b, "task": task, "score": score, "value": float(sign * "abc".index(b))}
        for score, task, sign in (("a", "second", 1), ("b", "first", -1), ("b", "second", 1))
        for b in "abc"
    ]
    table = model_choice.promise_table(found, pl.DataFrame(values))
    assert table.header == ("score", "first", "second", "mean")
    assert [[cell.split()[0] for cell in row] for row in table.rows] == [
        ["a", "—", "1.00", "1.00"],
        ["b", "−1.00", "1.00", "0.00"],
    ]


def test_records_are_annotated_with_their_backbones(study: Study) -> None:
    cell = study.cells()[0]
    rows = [
        dict.fromkeys(SCHEMA.names())
        | cell.axes()
        | {"cell": cell.key, "backbone": cell.backbone.key, "split": s, "metric": "accuracy"}
        for s in ("test", "test-noisy")
    ]
    found = annotated(study, pl.DataFrame(rows, schema=SCHEMA))
    assert found["family"].to_list() == ["resnet"] * 2
    assert found["role"].to_list() == ["id", "ood"]
    assert found["parameters"][0] > 1_000


def test_lines_of_accuracy_and_agreement_are_those_of_the_models() -> None:
    """Models that hold the right class with some probability, and else one of nine others: how
    often two of them agree follows from that."""
    rng, num, shares = np.random.default_rng(0), 20_000, (0.9, 0.8, 0.7, 0.6)
    columns = {where: [] for where in ("id", "ood")}
    rows = []
    for m, share in enumerate(shares):
        reached = {"id": share, "ood": share - 0.2}
        for where, right in reached.items():
            wrong = rng.integers(1, 10, num)
            columns[where].append(np.where(rng.random(num) < right, 0, wrong).tolist())
            hits = float(np.mean(np.array(columns[where][-1]) == 0))
            rows.append(record(role=where, value=hits, architecture="abcd"[m], seed=0))
    (line,) = compared(frame(rows))
    places = line.models.select(*MODEL).rows()
    seen = [
        (line.tasks[0], line.adaptation, line.shots, *place, *answers)
        for place, answers in zip(places, zip(*columns.values(), strict=True), strict=True)
    ]
    table = model_choice.line_table(line, pl.DataFrame(seen, CLASSES, orient="row"))
    (row,) = table.numbers.iter_rows(named=True)
    x, y = line.models["id_accuracy"].to_numpy(), line.models["ood_accuracy"].to_numpy()
    assert row["accuracy_slope"] == pytest.approx(accuracy_line(x, y).slope)
    pairs = [(a, b) for i, a in enumerate(shares) for b in shares[:i]]
    same = {
        where: [(a - d) * (b - d) + (1 - a + d) * (1 - b + d) / 9 for a, b in pairs]
        for where, d in (("id", 0.0), ("ood", 0.2))
    }
    expected = accuracy_line(same["id"], same["ood"])  # of what is to be expected of pairs
    assert row["agreement_slope"] == pytest.approx(expected.slope, abs=0.05)
    assert row["off"] == pytest.approx(float(np.abs(expected.predict(x) - y).mean()), abs=0.01)


def test_adaptations_and_tasks_come_in_the_order_of_the_study() -> None:
    rows = grid(lambda m, w, s: 0.5 + 0.1 * m)
    both = pl.concat([rows, rows.with_columns(task=pl.lit("a task"))])
    for ways in (("linear-probe", "fine-tune"), ("fine-tune", "linear-probe")):
        found = models.comparisons(both, ways, ("held-out", "a task"))
        assert [one.adaptation for one in found] == list(ways)
        assert found[0].tasks == ["held-out", "a task"]
