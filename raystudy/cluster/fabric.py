"""A worker of a Ray Train group: torch's group, and what Ray knows beyond it."""

import logging
import math
from collections.abc import Mapping
from typing import Any

from ray.train import PreemptionInfo
from ray.train.v2._internal.execution.context import get_train_context

from raystudy.cluster.placement import Placement
from raystudy.stages.event import Event
from raystudy.stages.group import GroupFabric
from raystudy.store import Store

log = logging.getLogger(__name__)

INTERVAL_UNDER_NOTICE_S = 5.0
"""Between checkpoints, once a node may be taken away at any moment."""


class RayFabric(GroupFabric):
    """Reports go to the board; a notice of preemption makes a checkpoint due at once."""

    def __init__(self, store: Store, key: str, placement: Placement, board: Any) -> None:
        def pin(key: str, step: int, metrics: Mapping[str, float]) -> None:
            board.pin.remote(Event("progress", key, step, metrics))

        super().__init__(
            store,
            key,
            pin,
            placement.checkpoint_interval_s,
            placement.max_bad_rate,
            sharded=placement.sharded,
            compiled=placement.compiled,
        )
        self._notice: PreemptionInfo | None = None

    def checkpoint_is_due(self) -> bool:
        """Rank 0 looks; where every worker must take part, the group agrees on what it saw."""
        if self.rank == 0 and (notice := notice_of_preemption()) != self._notice:
            self._notice = notice
            self._interval_s = min(self._interval_s, INTERVAL_UNDER_NOTICE_S)
            self._saved_at = -math.inf
            log.warning("%s: a node is about to be taken away; saving a checkpoint", self.key)
        return super().checkpoint_is_due()

    def save(self, state: Mapping[str, Any]) -> None:
        super().save(state)
        if self._notice:
            self.flush()


def notice_of_preemption() -> PreemptionInfo | None:
    """What Ray told this worker. ``ray.train.get_preemption_info`` says the same, but is a barrier
    of all workers and a call to an actor: too much for every step."""
    return get_train_context().preemption_context.preemption_info
