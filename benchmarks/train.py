"""What training inside raystudy costs: a step, against bare loops, and the start of a run.

    python benchmarks/train.py [--parts steps clip start] [--rounds 5] [--quick] [--json PATH]

**steps**: steps a second of a pre-training in a Ray Train worker that Ray Data feeds, and of the
same stage without Ray, against a bare torch loop that repeats a few batches from memory; and of
that loop in a Ray Train worker, fed nothing: what Ray's own processes take from it. **clip**:
examples a second against open_clip's own training main, from the same shards, with the same towers.
**start**: the seconds from ``raystudy run`` to the end of the first step, and what the next short
run adds on a worker that is warm.

Every arm is a process of its own, with as many torch threads; in each round they take turns, others
stopped by a signal with all their children. The first moments of a turn are not counted, and a
rate is taken between the ends of two steps. Checkpoints are left out of rates, because their clock
does not stop with a process. glibc keeps its memory in every arm, as raystudy has it do.
"""

import argparse
import io
import json
import os
import signal
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import loaders
import trainers
from images import CLASSES, natural
from trainers import ARMS, MODELS
from turns import Arm
from watched import STARTS, STEP, Note

NEXT_S = 2.0
"""What another run on a warm worker may add."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ["steps", "clip", "start"]
    parser.add_argument("--parts", nargs="+", default=parts, choices=parts)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="torch's, of each arm")
    parser.add_argument("--turn", type=float, default=8.0, help="seconds")
    parser.add_argument("--settle", type=float, default=120.0, help="seconds a stream may take")
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--runs", type=int, default=8, help="short runs after each start")
    parser.add_argument("--quick", action="store_true", help="try it out, without a result")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.turn, options.settle = 1, 1.0, 0.0
        options.starts, options.runs = 1, 2
        options.models = ["tiny", "clip-64"]
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # arms end with it, those stopped too
    lines = []
    with tempfile.TemporaryDirectory(prefix="train-") as temporary:
        folder = Path(temporary)
        for model in options.models:
            is_clip = model.startswith("clip")
            if ("clip" if is_clip else "steps") in options.parts:
                write_shards(folder / MODELS[model].data)
                lines += (compare_clip if is_clip else compare_steps)(model, folder, options)
        if "start" in options.parts:
            lines += time_starts(folder, options)
    if options.json:
        options.json.write_text(json.dumps(lines, indent=1))


def compare_steps(model: str, folder: Path, options: argparse.Namespace) -> list[dict]:
    what = MODELS[model].what
    rates = take_turns(["cluster", "stage", "ray-alone", "bare"], model, folder, options)
    print(f"\n{what}, steps/s; {1000 / np.median(rates['bare']):.0f} ms a step when bare")
    return [
        compare(f"steps/s, {what}", rates, "cluster", "bare"),
        compare(f"steps/s, {what}, without Ray", rates, "stage", "bare"),
        compare(f"steps/s, {what}, beside Ray's processes", rates, "ray-alone", "bare"),
        compare(f"steps/s, {what}, Ray apart", rates, "cluster", "ray-alone"),
    ]


def compare_clip(model: str, folder: Path, options: argparse.Namespace) -> list[dict]:
    what = MODELS[model].what
    rates = take_turns(["cluster", "open-clip"], model, folder, options)
    print(f"\n{what}, examples/s")
    rates = {arm: MODELS[model].batch_size * values for arm, values in rates.items()}
    return [compare(f"examples/s, {what}", rates, "cluster", "open-clip")]


def compare(name: str, rates: dict[str, np.ndarray], ours: str, peer: str) -> dict:
    ratio = rates[ours] / rates[peer]
    a, b = (float(np.median(rates[arm])) for arm in (ours, peer))
    return line(name, a, b, ARMS[peer], ratio)


def line(name: str, ours: float, peer: float, peer_name: str, ratio: np.ndarray) -> dict:
    low, high = np.quantile(ratio, (0.025, 0.975))
    median = float(np.median(ratio))
    print(
        f"  {name:52} {ours:8.2f}   {peer:8.2f} ({peer_name})   "
        f"ratio {median:.3f} ({low:.3f} to {high:.3f})"
    )
    return {
        "name": name,
        "ours": ours,
        "peer": peer,
        "peer_name": peer_name,
        "ratio": median,
        "low": float(low),
        "high": float(high),
    }


# ── Steady state ─────────────────────────────────────────────────────────────────────────────────


def take_turns(
    arms: Sequence[str], model: str, folder: Path, options: argparse.Namespace
) -> dict[str, np.ndarray]:
    """Steps a second of every arm in every round."""
    running: dict[str, Arm] = {}
    try:
        for name in arms:
            command = [sys.executable, trainers.__file__, name, str(folder), model]
            running[name] = arm = Arm(name, command, folder)
            arm.until(lambda arm=arm: len(arm.ends()) > 2)
            arm.signal(signal.SIGSTOP)
        running["cluster"].settle(options.turn, options.settle)
        rates = {name: np.zeros(options.rounds) for name in arms}
        for r in range(options.rounds):
            for name in (arms, arms[::-1])[r % 2]:
                rates[name][r] = running[name].turn(options.turn)
    finally:
        for arm in running.values():
            arm.end()
    return rates


# ── Starts ───────────────────────────────────────────────────────────────────────────────────────

PHASES = {
    "watched": "Python, command line, study file",
    "site": "plan, MLflow, imports",
    "pretrain": "ray.init",
    "process": "Ray Train: controller, placement, worker process",
    "arrived": "worker: Python, torch, the spec arrives",
    "function": "worker: torch's process group, the stream is made",
    "build": "stream: first parcel arrives; selection",
    "views": "model and optimiser; its state, if any",
    STEP: "first step",
}
"""What the time before each note went into."""


def time_starts(folder: Path, options: argparse.Namespace) -> list[dict]:
    """The first step of a study, and the next runs on the same worker."""
    phases: list[dict[str, float]] = []
    gaps, whole, bare = [], [], []
    write_shards(folder / MODELS["tiny"].data)
    for _ in range(options.starts):
        with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as store:
            of_phases, of_gaps, of_runs = start_study(Path(store), folder, options.runs)
        phases.append(of_phases)
        gaps += of_gaps
        whole += of_runs
        bare.append(start_bare(folder))
    print("\nseconds from `raystudy run` to the end of the first step, median")
    for note, what in PHASES.items():
        print(f"  {np.median([p[note] for p in phases]):6.2f}   {what}")
    return [
        line_s("start to first step, s", [sum(p.values()) for p in phases], bare, ARMS["bare"]),
        line_s("on a warm worker, last step to first of the next run, s", gaps, NEXT_S, "limit"),
        line_s("on a warm worker, a run without its steps, s", whole, NEXT_S, "limit"),
    ]


def line_s(name: str, ours: list[float], peer: float | list[float], peer_name: str) -> dict:
    """Of seconds, of which fewer are better."""
    ratio = np.array(peer) / np.maximum(ours, 1e-3)
    return line(name, float(np.median(ours)), float(np.median(peer)), peer_name, ratio)


def start_study(
    store: Path, folder: Path, runs: int
) -> tuple[dict[str, float], list[float], list[float]]:
    """Seconds of each phase; of each run after the first, the seconds since the last step of the
    one before beyond a step's own, and since its end beyond its steps'."""
    from raystudy.stages.site import InProcess
    from raystudy.store import Store

    study = trainers.study(runs)
    for event in InProcess(Store(store)).index(study.grids[0].sources):  # pyright: ignore[reportArgumentType]
        assert event.kind == "done", event.error
    command = [sys.executable, "-m", "raystudy.cli", "run", trainers.__file__]
    command += ["--address", "local", "--threads", os.environ["OMP_NUM_THREADS"]]
    command += ["--runs", str(runs), "--store", str(store), "--lanes", "1"]
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    arm = Arm("raystudy run", command, folder, **{"PYTHONPATH": paths, STARTS: "1"})
    room = store / "pretrainings"
    try:
        arm.until(lambda: len(list(room.glob("*/_done.json"))) == runs)
        done = sorted(path.stat().st_mtime for path in room.glob("*/_done.json"))
        found = arm.notes()
    finally:
        arm.end()
    worker = next(n.pid for n in found if n.name == STEP)
    return phases_of(found, arm, worker), *warm_runs(found, worker, done)


def phases_of(found: list[Note], arm: Arm, worker: int) -> dict[str, float]:
    """Seconds of each of ``PHASES``."""
    first: dict[str, float] = {}
    for note in found:
        driver = note.name in ("site", "pretrain") or note.pid == arm.process.pid
        if driver and note.name not in ("process", STEP):
            first.setdefault(note.name, note.seconds)
        elif note.pid == worker:
            first.setdefault("arrived" if note.name == "watched" else note.name, note.seconds)
    times = [arm.started, *(first[name] for name in PHASES)]
    return {name: b - a for name, (a, b) in zip(PHASES, pairwise(times), strict=True)}


def warm_runs(found: list[Note], worker: int, done: list[float]) -> tuple[list[float], list[float]]:
    builds = [n.seconds for n in found if n.pid == worker and n.name == "build"]
    ends = np.array([n.seconds for n in found if n.pid == worker and n.name == STEP])
    runs = [ends[(ends > a) & (ends < b)] for a, b in pairwise([*builds, np.inf])]
    gaps, whole = [], []
    for (before, after), (done_before, done_after) in zip(
        pairwise(runs), pairwise(done), strict=True
    ):
        step_s = float(np.median(np.diff(after)))
        gaps.append(after[0] - before[-1] - step_s)
        whole.append(done_after - done_before - len(after) * step_s)
    return gaps, whole


def start_bare(folder: Path) -> float:
    """Seconds from the start of a bare loop to the end of its first step."""
    command = [sys.executable, trainers.__file__, "bare", str(folder), "tiny"]
    arm = Arm("bare", command, folder)
    try:
        arm.until(lambda: len(arm.ends()) > 0)
        return arm.ends()[0] - arm.started
    finally:
        arm.end()


# ── Data ─────────────────────────────────────────────────────────────────────────────────────────


def write_shards(folder: Path, num_images: int = 4000, per_shard: int = 500) -> None:
    """JPEGs with labels and captions, indexed; of the side that the folder is called by, or of the
    size of images on the web. A few hundred are drawn, and then repeated under new ids."""
    if folder.exists():
        return
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    height, width = (300, 400) if folder.name == "web" else (int(folder.name),) * 2
    drawn = []
    for i in range(400):
        data = io.BytesIO()
        natural(rng, height, width, i % CLASSES).save(data, "JPEG", quality=90)
        drawn.append(data.getvalue())
    for first in range(0, num_images, per_shard):
        with tarfile.open(folder / f"{first // per_shard:05d}.tar", "w") as tar:
            for i in range(first, first + per_shard):
                label = i % len(drawn) % CLASSES
                members = {
                    "jpg": drawn[i % len(drawn)],
                    "cls": str(label).encode(),
                    "txt": f"a photograph of clouds in hue {label}, number {i}".encode(),
                }
                for suffix, data in members.items():
                    entry = tarfile.TarInfo(f"{i:09d}.{suffix}")
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))
    (folder / "classnames.txt").write_text("".join(f"hue {c}\n" for c in range(CLASSES)))
    loaders.index(str(folder))


if __name__ == "__main__":
    main()
