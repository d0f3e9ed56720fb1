"""Arms of a benchmark that train: processes that run only when it is their turn."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import loaders
from watched import BOX, LOADED, STEP, Note, notes

WARM_S, START_S = 2.0, 300.0
"""Of a turn, not counted; and what an arm may take to get going."""
IN_HAND = 64
"""Steps that loaders have begun on and nobody waits for."""


class Arm:
    """A process with children of its own, and the box where they leave notes."""

    def __init__(self, name: str, command: list[str], folder: Path, **more: str) -> None:
        self.name = name
        self.box = tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True)
        self.log = Path(self.box.name, "log").open("w+")  # noqa: SIM115
        self.started = time.time()
        self.process = subprocess.Popen(
            command,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | loaders.MALLOC | loaders.RAY | {BOX: self.box.name} | more,
        )

    def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            if self.process.poll() is not None or time.time() - self.started > START_S:
                self.log.seek(0)
                raise RuntimeError(f"{self.name} gets nowhere:\n{self.log.read()[-3000:]}")
            time.sleep(0.1)

    def notes(self) -> list[Note]:
        return notes(self.box.name)

    def ends(self, name: str = STEP, since: float = 0.0) -> list[float]:
        """When steps ended (or whatever the notes call ``name``)."""
        return [n.seconds for n in self.notes() if n.name == name and n.seconds > since]

    def turn(self, seconds: float) -> float:
        """Steps a second, from the end of one to the end of another, once it has warmed up."""
        self.signal(signal.SIGCONT)
        since = time.time() + WARM_S
        time.sleep(WARM_S + seconds)  # without a look: notes are long, and reading takes a core
        while len(self.ends(since=since)) < 3:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} has ended")
            time.sleep(0.5)
        self.signal(signal.SIGSTOP)
        ends = self.ends(since=since)
        return (len(ends) - 1) / (ends[-1] - ends[0])

    def settle(self, seconds: float, most: float) -> None:
        """Run until no more is loaded than is trained on: its buffers are full, and the loaders
        take from the training what they will take for ever."""
        began = time.time()
        while True:
            since = time.time()
            self.turn(seconds)
            loaded, trained = (len(self.ends(name, since)) for name in (LOADED, STEP))
            if loaded <= 1.2 * trained + IN_HAND:
                return
            if time.time() - began > most:
                print(f"  {self.name} has not settled: {loaded} steps loaded, {trained} trained on")
                return

    def signal(self, number: int) -> None:
        loaders.signal_all(self.process.pid, number)

    def end(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()
        self.box.cleanup()
