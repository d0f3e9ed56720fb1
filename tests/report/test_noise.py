"""What wrong labels cost, in size: a law by construction is recovered from the arms."""

import numpy as np
import polars as pl
import pytest

from raystudy.laws.power import OffsetPower
from raystudy.report.curves import Arm
from raystudy.report.noise import exchange_table
from raystudy.report.tables import worths
from raystudy.report.view import MissingCellsError


def arm(name: str, rate: float, q: float) -> Arm:
    rng = np.random.default_rng(round(100 * rate))
    rows = [
        {
            "size": n,
            "seed": seed,
            "noise_rate": float(rate),
            "error": (0.05 + 2 * (n * (1 - rate) ** q) ** -0.4) * np.exp(0.01 * rng.normal()),
        }
        for n in (200, 800, 3200, 12_800)
        for seed in range(5)
    ]
    return Arm(name, pl.DataFrame(rows), None)


def test_what_cleaning_is_worth_is_read_off_one_law() -> None:
    arms = [arm("clean", 0, 2), *(arm(f"wrong-{r}", r, 2.0) for r in (0.2, 0.5, 0.8))]
    table = exchange_table(
        [*arms, arm("other-0.5", 0.5, 1.0)], worths(OffsetPower(), arms, arms[0])
    )
    assert table.numbers["noise"].to_list() == ["wrong"] * 3  # of the other there is one rate
    for row in table.numbers.iter_rows(named=True):
        truth = (1 - row["rate"]) ** -2
        assert row["low"] < row["worth"] < row["high"]
        assert row["worth"] == pytest.approx(truth, rel=0.1)
    assert [row[1] for row in table.rows] == ["20%", "50%", "80%"]
    measured = table.rows[1][3].removeprefix("×").split()[0]
    assert float(measured) == pytest.approx(4, rel=0.15)


def test_one_rate_is_no_law() -> None:
    with pytest.raises(MissingCellsError, match="two rates"):
        exchange_table([arm("clean", 0, 2), arm("wrong-0.5", 0.5, 2)], [])
