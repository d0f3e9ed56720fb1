"""The quickstart, whole: ``raystudy run`` against the same study written by hand.

    python benchmarks/study.py [--scale tiny] [--seeds 3] [--rounds 1] [--threads 2] [--json PATH]

The peer is ``by_hand.py``: one sequential script, with as many torch threads as ``--threads``, and
scikit-learn's logistic regression at its default tolerance. In each round both run from nothing,
one after the other, in fresh processes and folders. They are timed from the start of the process to
its end: Python's imports, Ray's start, MLflow; ours with laws and a report too, for which the peer
has nothing. Both must have done the whole plan: pre-trainings, samples, cells and fits are counted.
Their accuracies are compared arm by arm, with the noise of seeds beside the difference.

Where the time goes is read off a clock in either process: of ours it stands in the driver, around
the calls that begin and end a stage, while workers say in store and ledger what their part took.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from clock import REST, STARTED, Clock
from loaders import MALLOC

from raystudy.ledger import Ledger
from raystudy.plan import Plan, plan
from raystudy.store import Store

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))
import quickstart

EXPERIMENT = Path(__file__).parents[1] / "experiments" / "quickstart.py"
PEER = "the same study by hand, one script"
ARM = ["adaptation", "method", "source", "size", "noise"]
CELL = [*ARM, "shots", "seed", "split"]
INHERITED = ("OMP_NUM_THREADS", "RAYSTUDY_STORE", "RAY_ADDRESS", "MLFLOW_TRACKING_URI")
"""What neither side is to take over from whoever starts the benchmark."""
DRIVER, SECONDS = "drive", "seconds.json"


@dataclass(frozen=True)
class Side:
    """What one side did in one round."""

    wall_s: float
    stages: dict[str, float]
    """Which add up to ``wall_s``."""
    stage_s: dict[str, float]
    """Of those that both sides have: ours in seconds of workers, which run side by side."""
    work: dict[str, int]
    records: pl.DataFrame
    """``CELL`` and ``accuracy``."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", default="laptop", choices=["laptop", "tiny"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="torch's, by hand")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # whoever runs ends with it
    found: list[tuple[Side, Side]] = []
    for r in range(options.rounds):
        busy = os.getloadavg()[0]
        print(f"round {r + 1} of {options.rounds}; load {busy:.2f} before it", flush=True)
        sides: dict[Callable, Side] = {}
        for run in (run_ours, run_by_hand)[:: 1 if r % 2 == 0 else -1]:
            with tempfile.TemporaryDirectory(prefix="study-", ignore_cleanup_errors=True) as folder:
                sides[run] = run(Path(folder), options)
        ours, peer = sides[run_ours], sides[run_by_hand]
        check_work(ours, peer, options)
        print_stages("raystudy run", ours)
        print_stages("by hand", peer)
        found.append((ours, peer))
    lines = compare_seconds(found, options.scale) + compare_accuracy(*found[0], options.scale)
    if options.json:
        options.json.write_text(json.dumps(lines, indent=1))


# ── By hand ──────────────────────────────────────────────────────────────────────────────────────


def run_by_hand(folder: Path, options: argparse.Namespace) -> Side:
    command = [Path(__file__).with_name("by_hand.py"), folder, "--threads", options.threads]
    wall_s = timed(command, folder, options, OMP_NUM_THREADS=str(options.threads), **MALLOC)
    found = json.loads((folder / "found.json").read_text())
    records = pl.DataFrame(found["records"]).drop("nll")
    stages = found["seconds"]
    return Side(
        wall_s=wall_s,
        stages=with_end(stages, wall_s),
        stage_s={
            "sources": stages["sources"],
            "pre-training": stages["pre-training"],
            "features": stages["features"],
            "adapting and scoring": sum(stages[s] for s in ("probes", "fine-tuning", "scores")),
            "MLflow": stages["MLflow"],
        },
        work=found["work"] | {"cells": records.select(CELL).drop("split").n_unique()},
        records=records.cast({"size": pl.Int64, "seed": pl.Int64}),
    )


# ── Ours ─────────────────────────────────────────────────────────────────────────────────────────


def run_ours(folder: Path, options: argparse.Namespace) -> Side:
    command = [__file__, DRIVER, folder / SECONDS, "run", EXPERIMENT, "--store", folder / "store"]
    wall_s = timed(command, folder, options)
    driver = json.loads((folder / SECONDS).read_text())
    store, todo = Store(folder / "store"), planned(options, Store(folder / "store"))
    ledger = Ledger(store).read(cell.key for cell in todo.cells)
    trained = [store.provenance("pretrainings", spec.key) for spec in todo.pretrainings]
    cells = ledger.unique("cell")
    stages = split_by_pretraining(driver["seconds"], driver["began"][COMPUTE], store, todo)
    mlflow_s = sum(s for name, s in driver["seconds"].items() if name.startswith(MLFLOW))
    return Side(
        wall_s=wall_s,
        stages=with_end(stages, wall_s),
        stage_s={
            "sources": spent(store, "sources"),
            "pre-training": sum(facts["spent_s"] for facts in trained),
            "features": spent(store, "features") + spent(store, "sealed"),
            "adapting and scoring": float(cells["seconds"].sum()),
            "MLflow": mlflow_s,
        },
        work={
            "pre-trainings": len(trained),
            "samples seen": sum(facts["samples_seen"] for facts in trained),
            "fits": int(cells.filter(pl.col("adaptation") != "zero-shot")["num_tried"].sum()),
            "cells": len(cells.filter(pl.col("metric") != "unsupported")),
        },
        records=ledger.filter(pl.col("metric") == "accuracy")
        .select(*CELL, pl.col("value").alias("accuracy"))
        .with_columns(pl.col("size").fill_null(0)),
    )


def spent(store: Store, room: str) -> float:
    """Seconds that went into a room of the store."""
    return sum(store.provenance(room, key)["seconds"] for key in store.done_keys(room))


def planned(options: argparse.Namespace, store: Store) -> Plan:
    return plan(quickstart.study(options.seeds, options.scale), store)


MLFLOW, COMPUTE = "MLflow", "pre-training and the grid"
BESIDE = f"{MLFLOW}, beside that"
STAGES = {
    ("raystudy.cluster.site:RaySite", "__enter__"): "Ray starts",
    ("raystudy.cluster.site:RaySite", "index"): "sources",
    ("raystudy.cluster.site:RaySite", "compute"): COMPUTE,
    ("raystudy.cluster.site:RaySite", "__exit__"): "Ray stops",
    ("raystudy.run", "report"): "laws and report",
} | {
    ("raystudy.tracking:Tracker", name): MLFLOW
    for name in ("__init__", "reconcile", "start", "log", "finish", "log_cells", "log_report")
}
"""Where a stage of the driver begins and ends."""


def drive(path: str, arguments: Sequence[str]) -> None:
    """The command line of raystudy, with a clock in its hand."""
    from importlib import import_module

    clock = Clock()
    own = (Path(__file__).parent, EXPERIMENT.parent)  # Ray hands its driver's path on to workers
    sys.path[:] = [path for path in sys.path if Path(path) not in own]
    for (where, name), stage in STAGES.items():
        module, _, cls = where.partition(":")
        owner: Any = import_module(module)
        owner = getattr(owner, cls) if cls else owner
        setattr(owner, name, on_the_clock(getattr(owner, name), stage, clock))
    import raystudy.cli

    clock.started()
    sys.argv = ["raystudy", *arguments]
    try:
        raystudy.cli.main()
    finally:
        found = {"seconds": clock.stop(), "began": clock.began}
        Path(path).write_text(json.dumps(found))


def on_the_clock(function: Callable, stage: str, clock: Clock) -> Callable:
    from inspect import isgeneratorfunction

    @wraps(function)
    def watched(*args: Any, **kwargs: Any) -> Any:
        beside = stage == MLFLOW and COMPUTE in clock.stages
        with clock(BESIDE if beside else stage):
            return function(*args, **kwargs)

    @wraps(function)
    def watched_events(*args: Any, **kwargs: Any) -> Iterator[Any]:
        with clock(stage):
            yield from function(*args, **kwargs)

    return watched_events if isgeneratorfunction(function) else watched


def split_by_pretraining(
    seconds: dict[str, float], began: float, store: Store, todo: Plan
) -> dict[str, float]:
    """The driver's stages, of which the longest is cut where the first pre-training begins and
    where the last one ends. MLflow is written in the meantime, and adds nothing."""
    folder = store.path("pretrainings")
    ends = {s.key: os.path.getmtime(f"{folder}/{s.key}/_done.json") for s in todo.pretrainings}
    starts = [end - store.provenance("pretrainings", key)["spent_s"] for key, end in ends.items()]
    first, last = min(starts), max(ends.values())
    whole = seconds[COMPUTE] + seconds.get(BESIDE, 0.0)
    cut = {
        "worker groups start, the grid's first cells beside it": first - began,
        "pre-training, the grid beside it": last - first,
        "the rest of the grid": whole - (last - began),
    }
    stages: dict[str, float] = {}
    for name, value in seconds.items():
        if name == REST:
            stages["command line, plan, imports"] = value
        elif name == COMPUTE:
            stages |= cut
        elif name != BESIDE:
            stages[name] = value
    return stages


# ── Both ─────────────────────────────────────────────────────────────────────────────────────────


def timed(command: Sequence[Any], folder: Path, options: argparse.Namespace, **more: str) -> float:
    """Seconds from the start of a Python process to its end. Raises RuntimeError with the last of
    what it said if it fails."""
    words = [sys.executable, *command, "--scale", options.scale, "--seeds", options.seeds]
    environment = {k: v for k, v in os.environ.items() if k not in INHERITED} | more
    log = folder / "log"
    with log.open("w") as file:
        started = time.time()
        process = subprocess.run(
            list(map(str, words)),
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment | {STARTED: str(started)},
        )
        wall_s = time.time() - started
    if process.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{log.read_text()[-3000:]}")
    return wall_s


def with_end(stages: dict[str, float], wall_s: float) -> dict[str, float]:
    return stages | {"the process ends": wall_s - sum(stages.values())}


def check_work(ours: Side, peer: Side, options: argparse.Namespace) -> None:
    """Both did the plan, all of it and nothing else. Raises AssertionError."""
    with tempfile.TemporaryDirectory() as empty:
        todo = planned(options, Store(empty))
    asked = {
        "pre-trainings": len(todo.pretrainings),
        "samples seen": sum(spec.samples_seen for spec in todo.pretrainings),
    }
    for name, number in asked.items():
        assert ours.work[name] == peer.work[name] == number, (name, ours.work, peer.work, number)
    assert ours.work == peer.work, (ours.work, peer.work)
    cells = [set(side.records.select(CELL).rows()) for side in (ours, peer)]
    assert cells[0] == cells[1], sorted(cells[0] ^ cells[1])[:10]
    assert len(ours.records) == len(peer.records) == len(cells[0])
    without = len(todo.cells) - ours.work["cells"]
    said = ", ".join(f"{number:,} {name}" for name, number in ours.work.items())
    print(f"both: {said} ({without} cells ask for what their backbones cannot do)")


def print_stages(name: str, side: Side) -> None:
    print(f"\n{name}: {side.wall_s:.1f} s")
    for stage, seconds in side.stages.items():
        print(f"  {seconds:8.1f} s {100 * seconds / side.wall_s:5.1f} %   {stage}")


def compare_seconds(found: Sequence[tuple[Side, Side]], scale: str) -> list[dict]:
    print("\nseconds of work, median of rounds; ours of workers side by side   ratio = peer / ours")
    lines = []
    for stage in found[0][0].stage_s:
        pairs = np.array([(ours.stage_s[stage], peer.stage_s[stage]) for ours, peer in found])
        lines.append(
            line(f"quickstart {scale}, {stage}, s of work", pairs, pairs[:, 1] / pairs[:, 0])
        )
    print("seconds from the start of the process to its end")
    pairs = np.array([(ours.wall_s, peer.wall_s) for ours, peer in found])
    return [line(f"quickstart {scale}, whole, s", pairs, pairs[:, 1] / pairs[:, 0]), *lines]


def compare_accuracy(ours: Side, peer: Side, scale: str) -> list[dict]:
    """Arm by arm, means over shots and seeds."""
    is_test = pl.col("split") == "test"
    pairs = ours.records.join(peer.records, on=CELL, suffix="_peer").filter(
        pl.col("split") != "validation"
    )
    pairs = pairs.with_columns(
        difference=100 * (pl.col("accuracy") - pl.col("accuracy_peer")),
        split=pl.when(is_test).then(pl.lit("test")).otherwise(pl.lit("shifts")),
    )
    of_seeds = pairs.group_by(*ARM, "split", "seed").agg(
        pl.col("accuracy", "accuracy_peer", "difference").mean()
    )
    arms = (
        of_seeds.group_by(*ARM, "split")
        .agg(
            pl.col("accuracy", "accuracy_peer").mean(),
            difference=pl.col("difference").mean(),
            variance=pl.col("difference").var(),
            seeds=pl.len(),
        )
        .sort(*ARM)
    )
    lines = []
    for split in ("test", "shifts"):
        these = arms.filter(pl.col("split") == split)
        # Pooled over arms; of a single seed nothing is known.
        variances = these["variance"].drop_nulls().to_numpy()
        error = float(np.sqrt(variances.mean() / these["seeds"][0])) if len(variances) else np.nan
        if split == "test":
            print("\ntest accuracy, %, mean over shots and seeds\n     ours  by hand  difference")
            for arm in these.iter_rows(named=True):
                a, b = 100 * arm["accuracy"], 100 * arm["accuracy_peer"]
                what = ", ".join(str(arm[name]) for name in ARM)
                print(f"   {a:6.2f}   {b:6.2f}      {arm['difference']:+6.2f}   {what}")
        worst = these.sort(pl.col("difference").abs()).row(-1, named=True)
        beyond = int((these["difference"].abs() > 2 * error).sum())
        noise = f"; standard error {error:.2f}, {beyond} of {len(these)} arms beyond two of them"
        print(
            f"{split}: mean difference {these['difference'].mean():+.2f} points; largest "
            f"{worst['difference']:+.2f} ({', '.join(str(worst[n]) for n in ARM)})"
            f"{noise if len(variances) else '; one seed: its noise is not known'}"
        )
        means = np.array([these.select(pl.col("accuracy", "accuracy_peer").mean()).row(0)])
        ratios = means[:, 0] / means[:, 1]
        lines.append(line(f"quickstart {scale}, accuracy, {split}", means, ratios))
    return lines


def line(name: str, pairs: np.ndarray, ratios: np.ndarray) -> dict:
    """Of (ours, peer) in each round."""
    ours, peer = (float(value) for value in np.median(pairs, 0))
    ratio, low, high = (float(f(ratios)) for f in (np.median, np.min, np.max))
    print(f"  {name:52} {ours:9.2f} {peer:9.2f}   ratio {ratio:.3f} ({low:.3f} to {high:.3f})")
    return {
        "name": name,
        "ours": ours,
        "peer": peer,
        "peer_name": PEER,
        "ratio": ratio,
        "low": low,
        "high": high,
    }


if __name__ == "__main__":
    if sys.argv[1:2] == [DRIVER]:
        drive(sys.argv[2], sys.argv[3:])
    else:
        main()
