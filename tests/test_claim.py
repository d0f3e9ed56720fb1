"""Two processes that want the same piece of work do it once."""

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest

from raystudy import claim
from raystudy.claim import claimed
from raystudy.store import Store


def hold(url: str, seconds: float, log: Path) -> None:
    with claimed(Store(url), "piece"):
        with log.open("a") as file:
            file.write(f"{os.getpid()} begins\n")
        time.sleep(seconds)
        with log.open("a") as file:
            file.write(f"{os.getpid()} ends\n")


def started(*args: object) -> SpawnProcess:
    process = multiprocessing.get_context("spawn").Process(target=hold, args=args)
    process.start()
    return process


def until(log: Path, text: str) -> None:
    deadline = time.monotonic() + 60
    while not (log.exists() and text in log.read_text()):
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)


def test_one_after_the_other(store: Store, tmp_path: Path) -> None:
    log = tmp_path / "log"
    processes = [started(store.url, 0.3, log) for _ in range(3)]
    for process in processes:
        process.join(60)
    lines = [line.split() for line in log.read_text().splitlines()]
    assert [what for _, what in lines] == ["begins", "ends"] * 3
    assert all(a == b for (a, _), (b, _) in zip(lines[::2], lines[1::2], strict=True))


def test_a_killed_holder_holds_nothing(store: Store, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = started(store.url, 600, log)
    until(log, "begins")
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    begun = time.monotonic()
    with claimed(store, "piece"):
        assert time.monotonic() - begun < 5


def test_claims_on_other_work_do_not_wait(store: Store) -> None:
    with claimed(store, "a"), claimed(store, "b"):
        assert store.names("claims") == ["a", "b"]
    assert store.names("claims") == []


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "POLL_S", 0.02)
    monkeypatch.setattr(claim, "BEAT_S", 0.05)
    monkeypatch.setattr(claim, "PATIENCE_S", 0.5)


def test_on_an_object_store_one_after_the_other(brisk: None) -> None:
    store, inside, most = Store("memory://claims/one"), [], []

    def work() -> None:
        with claimed(store, "piece"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(1.2)  # longer than the patience: only beats keep others away
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == [1, 1]


def test_on_an_object_store_a_holder_that_is_gone_is_waited_for_in_vain(brisk: None) -> None:
    store = Store("memory://claims/gone")
    store.write(b"somebody 7", claim.ROOM, "piece")
    begun = time.monotonic()
    with claimed(store, "piece"):
        assert time.monotonic() - begun >= 0.5
    assert store.read(claim.ROOM, "piece") is None
