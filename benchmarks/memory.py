"""Memory while shards far larger than it stream through: flat, or not.

    python benchmarks/memory.py [--gigabytes 20] [--plot docs/memory.png] [--json PATH]

Proportional set size (each shared page counted once) of every process of the run, object store
included, once a second. The consumer reads one epoch through Ray Train as a pre-training would. A
group of Ray Train that reads nothing says how much of it is there before the first byte.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parent))
import loaders
from images import write_shards

SIDE = 96
LIMIT_GB = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=20.0)
    parser.add_argument("--folder", type=Path, help="Keep the shards there, and use them again.")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memory-") as temporary:
        folder = str(options.folder or temporary)
        shards = Path(folder, "shards")
        sample = write_shards(Path(temporary, "sample"), 400) / 400
        num_images = int(options.gigabytes * 1e9 / sample)
        if not shards.exists():
            written = write_shards(shards, num_images)
            print(f"{num_images:,} images in {written / 1e9:.1f} GB of shards")
        started = time.time()
        loaders.index(str(shards), workers=os.cpu_count() or 1)
        print(f"indexed in {time.time() - started:.0f} s")
        _, empty, _ = watch("idle", folder, 10 * loaders.BATCH)
        seconds, parts, seen = watch("raystudy", folder, num_images - 10 * loaders.BATCH)
    gigabytes = np.array([sum(of.values()) for of in parts])
    steady = gigabytes[len(gigabytes) // 10 :]
    slope = np.polyfit(seen[len(seen) // 10 :], steady, 1)[0] * num_images
    print(
        f"{seen[-1]:,} images in {seconds[-1]:.0f} s ({seen[-1] / seconds[-1]:,.0f}/s); resident "
        f"memory {steady.min():.2f} to {steady.max():.2f} GB, trend {slope:+.2f} GB over all"
    )
    print(f"a group of Ray Train that reads nothing: {sum(empty[-1].values()):.2f} GB")
    print("at its peak:")
    for part, of in sorted(parts[int(gigabytes.argmax())].items(), key=lambda item: -item[1]):
        print(f"  {of:5.2f} GB   {part}")
    if options.plot:
        plot(seen * sample / 1e9, gigabytes, sum(empty[-1].values()), options.plot)
    if options.json:
        line = {
            "name": f"peak memory streaming {options.gigabytes:.0f} GB, GB",
            "ours": float(gigabytes.max()),
            "peer": LIMIT_GB,
            "peer_name": "limit",
            "ratio": LIMIT_GB / float(gigabytes.max()),
            "low": LIMIT_GB / float(steady.max()),
            "high": LIMIT_GB / float(steady.min()),
        }
        options.json.write_text(json.dumps([line], indent=1))


def watch(
    arm: str, folder: str, num_images: int
) -> tuple[np.ndarray, list[dict[str, float]], np.ndarray]:
    """Seconds, gigabytes of each part and images seen, once a second until an epoch has passed."""
    with tempfile.TemporaryDirectory() as box, open(Path(box, "log"), "w") as log:
        Path(box, "count").write_bytes(bytes(16))
        run = subprocess.Popen(
            [sys.executable, loaders.__file__, arm, folder, str(SIDE), box],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        points = []
        try:
            while not points or points[-1][2] < num_images:
                if run.poll() is not None:
                    raise RuntimeError(Path(box, "log").read_text()[-3000:])
                time.sleep(1)
                seen = sum(loaders.counts(box))
                if seen:
                    points.append((time.time(), resident(run.pid), seen))
        finally:
            # Ray's own ending may wait for readers that are gone.
            loaders.signal_all(run.pid, signal.SIGKILL)
            run.wait()
    times, parts, seen = zip(*points, strict=True)
    return np.array(times) - times[0], list(parts), np.array(seen)


def resident(pid: int) -> dict[str, float]:
    """Gigabytes of each kind of process, and of the object store, which all of them map."""
    parts: dict[str, float] = defaultdict(float)
    for process in loaders.family(pid):
        with suppress(psutil.Error, OSError, ValueError):
            own, shared = proportional(process.pid)
            parts["object store"] += shared
            parts[kind_of(process)] += own
    return parts


def proportional(pid: int) -> tuple[float, float]:
    """Gigabytes of a process's own share, and of what it shares through /dev/shm."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 / 1e9 for line in lines}
    return sizes["Pss"] - sizes["Pss_Shmem"], sizes["Pss_Shmem"]


def kind_of(process: psutil.Process) -> str:
    """``raylet``, ``ray::LoadParcel``, ``python -m ray.dashboard.agent``…, in a word or two."""
    command = process.cmdline()
    title = command[0].split("(")[0].split()[0]
    if title.startswith("ray::"):
        return title
    script = next((word for word in command[1:] if not word.startswith("-")), "")
    return " ".join(dict.fromkeys(Path(word).name for word in (title, script) if word))[:40]


def plot(read: np.ndarray, gigabytes: np.ndarray, empty: float, path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
    axes.plot(read, gigabytes, linewidth=1.5)
    lines = {"limit": LIMIT_GB, "a group of Ray Train that reads nothing": empty}
    for (text, height), place in zip(lines.items(), ("bottom", "top"), strict=True):
        axes.axhline(height, color="grey", linestyle="--", linewidth=1)
        axes.text(read[-1], height, text, ha="right", va=place, color="grey")
    top = max(LIMIT_GB, gigabytes.max()) * 1.1
    axes.set(xlabel="shards read, GB", ylabel="resident memory, GB", ylim=(0, top))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
