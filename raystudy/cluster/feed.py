"""Parcel numbers, each a block of its own, made as loaders take them.

Whatever Ray Data is told beforehand it keeps for as long as the stream lasts: a plan of a million
parcels as a million blocks is gigabytes in its driver. So it is told of pages, and an actor turns
each page into numbers, of which no more than a handful wait.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import ray
import ray.data
from ray.data import ActorPoolStrategy, DataContext, Dataset
from ray.data._internal.execution.backpressure_policy import (
    ENABLED_BACKPRESSURE_POLICIES,
    ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY,
    BackpressurePolicy,
)

PAGE = 4096
MAX_WAITING = 64
"""Blocks in front of a stage of the stream. Numbers are too small for Ray's own limits, which count
bytes."""


def numbers(num_rows: int, column: str, context: DataContext) -> Dataset:
    """Rows ``{column: 0}`` to ``{column: num_rows - 1}``, in this order, one a block. Sets
    ``context``, which the data set goes by, accordingly."""
    context.target_max_block_size = 1  # else rows that follow one another share a block
    context._max_num_blocks_in_streaming_gen_buffer = MAX_WAITING  # else two a turn of its loop
    context.set_config(
        ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY, [*ENABLED_BACKPRESSURE_POLICIES, FewWaiting]
    )
    pages = [{"first": first} for first in range(0, num_rows, PAGE)]
    # Beside the executor, whose end is its own: it must not be lost with a node of workers.
    here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
    return ray.data.from_items(pages, override_num_blocks=len(pages)).map_batches(
        Numbers,
        fn_constructor_args=(num_rows, column),
        batch_size=1,
        num_cpus=0,
        label_selector=here,
        compute=ActorPoolStrategy(size=1, max_tasks_in_flight_per_actor=1),
    )


class Numbers:
    """A page → its rows."""

    def __init__(self, num_rows: int, column: str) -> None:
        self._num_rows, self._column = num_rows, column

    def __call__(self, page: dict[str, Any]) -> Iterator[dict[str, Any]]:
        first = int(page["first"][0])
        for i in range(first, min(first + PAGE, self._num_rows)):
            yield {self._column: np.array([i])}


class FewWaiting(BackpressurePolicy):
    """A stage whose next one has enough to do keeps its results to itself."""

    def max_task_output_bytes_to_read(self, op: Any) -> int | None:
        waiting = sum(
            self._topology[following].total_enqueued_input_blocks()
            for following in op.output_dependencies
        )
        return 0 if waiting >= MAX_WAITING else None
