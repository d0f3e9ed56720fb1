"""Metrics of a finished study, computed again from its predictions: seconds, memory, and a line.

    python benchmarks/metrics.py [--cells 250 500 1000] [--examples N] [--classes N] [--json PATH]

A ledger of random predictions is written, one split a cell, and every metric of
``experiments/ood_calibration.py`` is computed from it: the time of each number of cells, the most
memory, and how the time of a cell grows. The peer is the time that reading the predictions alone
takes, in the same turns.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from raystudy.kinds import Metric
from raystudy.ledger import SCHEMA, Ledger
from raystudy.metrics.accuracy import Accuracy
from raystudy.metrics.nll import NegativeLogLikelihood
from raystudy.stages.evaluate import PREDICTIONS
from raystudy.stages.score import score, unscored
from raystudy.store import Store

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))
from ood_calibration import METRICS

EVERY: tuple[Metric, ...] = (Accuracy(), NegativeLogLikelihood(), *METRICS)
CELLS_PER_FILE = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, nargs="+", default=[250, 500, 1000])
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names = ", ".join(metric.name for metric in EVERY)
    print(f"{options.examples:,} predictions of {options.classes} classes a cell; {names}")
    lines = []
    with tempfile.TemporaryDirectory(prefix="metrics-") as folder:
        store, written = Store(folder), 0
        for cells in sorted(options.cells):
            for first in range(written, cells, CELLS_PER_FILE):
                append(Ledger(store), range(first, min(first + CELLS_PER_FILE, cells)), options)
            keys = [f"cell-{i}" for i in range(written, cells)]
            reading_s = read(store, keys)
            started = time.perf_counter()
            score(unscored(keys, EVERY, store), store, lambda _: None)
            seconds = time.perf_counter() - started
            new, written = cells - written, cells
            most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            print(
                f"  {new:5,} cells beside {cells - new:,}: {seconds:6.1f} s, "
                f"{1000 * seconds / new:6.1f} ms a cell, of which {1000 * reading_s / new:.1f} "
                f"reading; at most {most:.2f} GB"
            )
            lines.append(
                {
                    "name": f"metrics of {new:,} cells beside {cells - new:,}, s",
                    "ours": seconds,
                    "peer": reading_s,
                    "peer_name": "reading the predictions alone",
                    **dict.fromkeys(("ratio", "low", "high"), reading_s / seconds),
                }
            )
    if options.json:
        options.json.write_text(json.dumps(lines, indent=1))


def append(ledger: Ledger, cells: range, options: argparse.Namespace) -> None:
    records, predictions = [], []
    for cell in cells:
        rng = np.random.default_rng(cell)
        labels = rng.integers(0, options.classes, options.examples)
        logits = rng.normal(size=(options.examples, options.classes)).astype(np.float32)
        logits[np.arange(len(labels)), labels] += 2
        key, rows = f"cell-{cell}", len(labels)
        for split, at in (("validation", slice(0, rows // 10)), ("test", slice(rows // 10, rows))):
            number = len(labels[at])
            predictions.append(
                pl.DataFrame(
                    {
                        "cell": [key] * number,
                        "split": [split] * number,
                        "id": [f"{split}-{i}" for i in range(number)],
                        "label": labels[at],
                        "logits": list(logits[at]),
                    },
                    schema=PREDICTIONS,
                )
            )
        records.append(dict.fromkeys(SCHEMA.names()) | {"cell": key, "split": "test"})
    ledger.append(pl.DataFrame(records, schema=SCHEMA), pl.concat(predictions))


def read(store: Store, keys: list[str]) -> float:
    ledger, wanted = Ledger(store), set(keys)
    started = time.perf_counter()
    for file in ledger.files():
        for key in sorted(wanted & ledger.cells_in(file)):
            ledger.scored_splits(file, key)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
