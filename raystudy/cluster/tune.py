"""Ray Tune: one trial for all cells that share features, one for each fine-tuning.

Tune only schedules what it is given, as soon as its backbone is there; what is done is the ledger's
to say. Trials reuse their actors, because a fresh process costs more than most units.
"""

import logging
import time
from collections.abc import Sequence
from typing import Any

import ray
import torch
from ray import tune
from ray.tune import Callback, FailureConfig, RunConfig, TuneConfig
from ray.tune.execution import class_cache
from ray.tune.search import Searcher

from raystudy.spec import Pretraining
from raystudy.stages.adapt import CellsFailedError, Unit, adapt
from raystudy.stages.event import Event
from raystudy.store import Store

log = logging.getLogger(__name__)

# Tune would put AWS's keys of the driver into the environment of each trial, which Ray writes into
# the logs of every node. Nodes open the store by what they have themselves.
class_cache.ENV_VARS_TO_PROPAGATE = {
    name for name in class_cache.ENV_VARS_TO_PROPAGATE if not name.startswith("AWS_")
}

MAX_FAILURES = 2
"""Workers that a unit may lose (to preemption, say) before it counts as failed."""
PATIENCE_S = 8.0
"""For the next backbone, before idle actors are given up: Tune keeps what they hold, and a worker
group that starts may need it."""


class Trial(tune.Trainable):
    """Adapts and evaluates one unit."""

    def setup(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, config: dict[str, Any], units: list[Unit], store_url: str, threads: int
    ) -> None:
        torch.set_num_threads(threads)
        self._units, self._store = units, Store(store_url)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        unit = self._units[self.config["unit"]]
        try:
            adapt(unit, self._store)
        except CellsFailedError as error:  # the store has each one's story
            return {"done": True, "key": unit.key, "error": str(error)}
        except Exception as error:  # one bad unit must not end its neighbours
            log.warning("%s failed", unit.title, exc_info=True)
            return {"done": True, "key": unit.key, "error": f"{type(error).__name__}: {error}"}
        return {"done": True, "key": unit.key, "error": ""}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to keep: a unit is in the ledger whole, or not at all."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """See ``save_checkpoint``."""


class AsBackbonesCome(Searcher):
    """Suggests each unit once its backbone is there, in the order given otherwise, until none has
    come for a while, or until nothing trains any more: then the whole cluster is the grid's."""

    def __init__(
        self, units: Sequence[Unit], store_url: str, board: Any, *, training: bool
    ) -> None:
        super().__init__(metric="done", mode="max")
        self._training = training
        self._units, self._store, self._board = units, Store(store_url), board
        self._waiting = list(range(len(units)))
        self._last = time.monotonic()

    def suggest(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, trial_id: str
    ) -> dict[str, Any] | str | None:
        if self._training and not ray.get(self._board.training.remote()):
            return Searcher.FINISHED
        there = self._store.done_keys(Pretraining.room)
        for i in self._waiting:
            if is_ready(self._units[i], there):
                self._waiting.remove(i)
                self._last = time.monotonic()
                return {"unit": i}
        patient = time.monotonic() - self._last < PATIENCE_S
        return None if self._training and self._waiting and patient else Searcher.FINISHED

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """What came of it is in the ledger. Those who are not idle are waited for."""
        self._last = time.monotonic()

    def save(self, checkpoint_path: str) -> None:
        """Nothing to keep: another driver asks the store."""

    def restore(self, checkpoint_path: str) -> None:
        """See ``save``."""


def is_ready(unit: Unit, there: set[str]) -> bool:
    """``there`` are the keys of pre-trainings that are done."""
    return not isinstance(unit.backbone, Pretraining) or unit.backbone.key in there


def adapt_units(
    units: Sequence[Unit],
    store_url: str,
    board: Any,
    scratch: str,
    *,
    name: str,
    training: bool,
    concurrency: int,
    threads: int,
    resources: dict[str, float],
) -> None:
    """Run those units as trials whose backbones are there or come soon (``AsBackbonesCome``); their
    ends are pinned to ``board``. ``training`` says whether more may come."""
    units = list(units)
    trainable = tune.with_resources(
        tune.with_parameters(Trial, units=units, store_url=store_url, threads=threads), resources
    )
    tune.Tuner(
        trainable,
        param_space={"unit": -1},
        tune_config=TuneConfig(
            search_alg=AsBackbonesCome(units, store_url, board, training=training),
            num_samples=len(units),
            reuse_actors=True,
            max_concurrent_trials=concurrency,
        ),
        run_config=RunConfig(
            name=name,
            storage_path=scratch,
            verbose=0,
            callbacks=[_Pin(board, units)],
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
        ),
    ).fit()


class _Pin(Callback):
    def __init__(self, board: Any, units: list[Unit]) -> None:
        self._board, self._units = board, units

    def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict, **info: Any):
        error = result["error"]
        kind = "failed" if error else "done"
        self._board.pin.remote(Event(kind, result["key"], error=error))

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        key = self._units[trial.config["unit"]].key
        self._board.pin.remote(Event("failed", key, error="lost its worker thrice; out of memory?"))
