"""Four writers of a process, each a driver of a study of its own: ``URI FIRST NUM_RUNS``."""

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import polars as pl

from raystudy.ledger import SCHEMA
from raystudy.spool import Spool
from raystudy.tracking import Tracker, check

NUM_METRICS, SHOTS = 20, (10, 20, 50, 100, 1000)
"""A run has a point for each of both."""


def records(seed: int) -> pl.DataFrame:
    """Of one backbone, task and adaptation: the cells of one run."""
    filled = dict.fromkeys(SCHEMA.names()) | {"backbone": "b", "task": "t", "adaptation": "a"}
    rows = [
        filled
        | {"cell": f"{seed}-{shots}", "shots": str(shots), "num_train": shots, "seed": seed}
        | {"split": "test", "metric": f"m{metric}", "value": value_of(seed, shots, metric)}
        | {"method": "m", "source": "s", "size": 1, "noise": "n", "seconds": 1.0}
        for shots in SHOTS
        for metric in range(NUM_METRICS)
    ]
    return pl.DataFrame(rows, schema=SCHEMA)


def value_of(seed: int, shots: int, metric: int) -> float:
    return seed + metric / 100 + shots / 1e6


def write(uri: str, study: int, num_runs: int) -> bool:
    tracker, spool = Tracker(uri, f"study-{study}"), Spool(partial(check, uri))
    for seed in range(num_runs):
        spool.add(partial(tracker.log_cells, records(seed)))
        spool.drain()
    return spool.empty(120) and not spool.is_refused


if __name__ == "__main__":
    address, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with ThreadPoolExecutor(4) as pool:
        heard = list(pool.map(lambda i: write(address, first + i, count), range(4)))
    sys.exit(not all(heard))
