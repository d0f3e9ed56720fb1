"""A study whose sizes share trunks: what is planned, trained, kept, and gone on with."""

import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from raystudy.ledger import Ledger
from raystudy.plan import plan
from raystudy.run import run
from raystudy.spec import Budget, Optimisation, Study
from raystudy.stages.site import InProcess
from raystudy.store import Store
from raystudy.tracking import default_uri


class Counting:
    """A watcher that adds up what it is told."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.amounts: dict[str, float] = {}

    def begin(self, stage: str, total: int, unit: str) -> None:
        self.totals[stage] = total

    def advance(self, stage: str, amount: float = 1.0) -> None:
        self.amounts[stage] = self.amounts.get(stage, 0.0) + amount

    def error(self, what: str, message: str) -> None:
        raise AssertionError(f"{what}: {message}")

    def refresh(self) -> None: ...


@pytest.fixture(autouse=True)
def _no_server() -> None:
    os.environ.pop("MLFLOW_TRACKING_URI", None)


def branched(study: Study, sizes: tuple[int, ...], **fields: object) -> Study:
    values = {
        "sizes": sizes,
        "noises": (None,),
        "budget": Budget(order="sampled", batch_size=16, chunk_size=8),
        "optimisation": Optimisation(schedule="wsd", warmup_steps=2),
    }
    grid = study.grids[0].model_copy(update=values | fields)
    return study.model_copy(update={"grids": (grid,)})


def drive(study: Study, store: Store) -> Counting:
    watcher = Counting()
    uri = default_uri(Path(store.root))
    outcome = run(study, store, lambda: nullcontext(InProcess(store)), watcher, uri)
    assert not outcome.failures
    return watcher


@pytest.mark.slow
def test_sizes_share_trunks_and_later_ones_go_on_from_the_longest(
    study: Study, store: Store
) -> None:
    three = branched(study, (64, 128, 256))
    todo = plan(three, store)
    assert [t.num_steps for t in todo.trunks] == [4, 7, 13]
    assert todo.samples_to_train == 13 * 16 + (0 + 1 + 3) * 16
    watcher = drive(three, store)
    assert watcher.totals["pretrain"] == watcher.amounts["pretrain"] == todo.samples_to_train
    assert store.done_keys("trunks") == {todo.trunks[-1].key}, "the longest is kept"
    assert store.names("checkpoints") == []
    assert plan(three, store).work == []

    four = branched(study, (64, 128, 256, 300))
    more = plan(four, store)
    assert [t.num_steps for t in more.missing_trunks] == [15]
    assert more.samples_to_train == (15 - 13 + 3) * 16
    watcher = drive(four, store)
    assert watcher.totals["pretrain"] == watcher.amounts["pretrain"]
    assert Ledger(store).cells() == {c.key for c in four.cells()}


@pytest.mark.slow
def test_trunks_change_no_number(study: Study, store: Store, tmp_path: Path) -> None:
    """Sizes that train each in a study of its own, sharing nothing, give the same ledger."""
    drive(branched(study, (64, 256)), store)
    apart = Store(tmp_path / "apart")
    for size in (64, 256):
        alone = branched(study, (size,))
        assert plan(alone, apart).trunks == []
        drive(alone, apart)
    columns = ("cell", "split", "metric", "value")
    found = [Ledger(s).read().select(columns).sort(columns).rows() for s in (store, apart)]
    assert found[0] == found[1]
