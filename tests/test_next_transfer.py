"""``raystudy plan --next … --for transfer``: which runs from scratch a study lacks."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from raystudy.experiment import load
from raystudy.ledger import PREDICTIONS, SCHEMA, Ledger
from raystudy.next_best import Advice, advise
from raystudy.plan import plan
from raystudy.spec import Cell, Initialisation
from raystudy.store import Store

FILE = Path(__file__).parents[1] / "experiments" / "transfer_laws.py"
STUDY = load(FILE).study(["--modality", "image", "--scale", "tiny", "--seeds", "2"])
Loss = Callable[[float, Cell], float]


def advice(folder: Path, loss: Loss, kept: Callable[[Cell], bool] = lambda _: True) -> Advice:
    """Of a study whose ``kept`` cells have run; ``loss`` takes the examples learnt from."""
    store = Store(folder)
    rows = []
    for cell in filter(kept, STUDY.cells()):
        number = 10 * int(cell.shots or 0)
        own = {"cell": cell.key, "backbone": cell.backbone.key, "realised_noise": 0.0}
        own |= {"num_train": number, "split": "test", "metric": "nll", "seconds": 1.0}
        own |= {"value": loss(number, cell), "chosen": json.dumps({}), "num_tried": 1}
        rows.append(cell.axes() | own)
    Ledger(store).append(pl.DataFrame(rows, schema=SCHEMA), pl.DataFrame(schema=PREDICTIONS))
    return advise(plan(STUDY, store), store, "transfer", 3)


def worth(times: float) -> Loss:
    def loss(number: float, cell: Cell) -> float:
        data = number if isinstance(cell.backbone, Initialisation) else times * number
        return 8 * data**-0.5 + 0.01 * cell.seed

    return loss


@pytest.mark.parametrize(
    ("times", "told"),
    [
        (3.0, "D_E is bracketed at all 8 points"),
        (
            15.0,
            "beyond the runs from scratch, at 2 of 4 points: run from scratch on about 400 and 800",
        ),
        (
            0.7,
            "short of the runs from scratch, at 2 of 4 points: run from scratch on about 5",
        ),
    ],
)
def test_what_would_bracket_is_said(tmp_path: Path, times: float, told: str) -> None:
    found = advice(tmp_path, worth(times))
    assert not found.refusal
    assert told in " ".join(found.notes)


def test_a_study_that_has_not_run_says_so(tmp_path: Path) -> None:
    untrained = advice(tmp_path, worth(1.0), lambda c: isinstance(c.backbone, Initialisation))
    assert "nothing has run from scratch and after pre-training yet" in untrained.refusal
