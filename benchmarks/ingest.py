"""Images a second from shards into the training loop, against how it is commonly done.

    python benchmarks/ingest.py [--sizes 64 96 224] [--rounds 3] [--json PATH]

Every arm is a process of its own that reads the same tars for ever; in each round they take turns,
the others stopped by a signal with all their children, and the first moments of a turn are not
counted. So start-up is left out, no buffer fills for nothing, and drift of the machine hits all
alike. RandomResizedCrop and flip throughout; two
loading processes throughout; arms that deliver uint8 leave normalisation to the device.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import loaders
from images import write_folder, write_shards

WARM_S, TURN_S = 3.0, 5.0
START_S = 120
OURS = "raystudy"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 96, 224])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--arms", nargs="+", default=list(loaders.ARMS), choices=loaders.ARMS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ingest-") as folder:
        shards = Path(folder, "shards")
        size = write_shards(shards, options.images)
        write_folder(Path(folder, "folder"), shards)
        loaders.index(str(shards))
        print(f"{options.images} JPEGs, {size / options.images / 1000:.0f} KB each")
        lines = []
        for side in options.sizes:
            lines += compare(side, options.arms, options.rounds, Path(folder))
    if options.json:
        options.json.write_text(json.dumps(lines, indent=1))


def compare(side: int, arms: list[str], rounds: int, folder: Path) -> list[dict]:
    """Images a second of every arm in every round, as a table of ratios against ours."""
    running = {arm: Arm(arm, side, folder) for arm in arms}
    try:
        for arm in running.values():
            arm.turn(0.5)
        rates = {name: np.zeros(rounds) for name in arms}
        for r in range(rounds):
            for name in (arms, arms[::-1])[r % 2]:
                rates[name][r] = running[name].turn(TURN_S)
    finally:
        for arm in running.values():
            arm.end()
    print(f"\n{side} px, images/s: median of {rounds} turns of {TURN_S:.0f} s")
    lines = []
    for name in arms:
        ratio = rates[OURS] / rates[name]
        low, high = np.quantile(ratio, (0.025, 0.975))
        median = float(np.median(ratio))
        print(
            f"  {name:16} {np.median(rates[name]):7,.0f}   ours/it {median:5.2f} "
            f"({low:.2f} to {high:.2f})   {loaders.ARMS[name]}"
        )
        if name != OURS:
            lines.append(
                {
                    "name": f"ingest {side} px",
                    "ours": float(np.median(rates[OURS])),
                    "peer": float(np.median(rates[name])),
                    "peer_name": loaders.ARMS[name],
                    "ratio": median,
                    "low": float(low),
                    "high": float(high),
                }
            )
    return lines


class Arm:
    """One loader in a process group of its own, which runs only when it is its turn."""

    def __init__(self, name: str, side: int, folder: Path) -> None:
        self.name = name
        self.box = tempfile.TemporaryDirectory(dir=folder)
        Path(self.box.name, "count").write_bytes(bytes(16))
        self.log = Path(self.box.name, "log").open("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, loaders.__file__, name, str(folder), str(side), self.box.name],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | loaders.ENVIRONMENT.get(name, {}),
        )
        started = time.time()
        while self.count() == 0:  # one arm starts at a time
            if self.process.poll() is not None or time.time() - started > START_S:
                self.log.seek(0)
                raise RuntimeError(f"{name} does not start:\n{self.log.read()[-3000:]}")
            time.sleep(0.1)
        self.signal(signal.SIGSTOP)

    def count(self) -> int:
        return sum(loaders.counts(self.box.name))

    def turn(self, seconds: float) -> float:
        self.signal(signal.SIGCONT)
        time.sleep(WARM_S)
        before, started = self.count(), time.perf_counter()
        time.sleep(seconds)
        rate = (self.count() - before) / (time.perf_counter() - started)
        self.signal(signal.SIGSTOP)
        return rate

    def signal(self, number: int) -> None:
        loaders.signal_all(self.process.pid, number)

    def end(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()
        self.box.cleanup()


if __name__ == "__main__":
    main()
