"""A server that goes away and comes back hears everything, in order, and once."""

import logging
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raystudy import spool as room
from raystudy.spool import Spool


class Server:
    """``silences`` says before which calls it goes away, and for how many probes."""

    def __init__(self, silences: dict[int, int] | None = None, refuses: str = "") -> None:
        self.heard: list[str] = []
        self._silences, self._refuses = dict(silences or {}), refuses
        self._silent_for = self._calls = 0

    def tell(self, what: str) -> Callable[[], None]:
        def call() -> None:
            self._silent_for += self._silences.pop(self._calls, 0)
            self._calls += 1
            if self._silent_for or what == self._refuses:
                raise RuntimeError("500")
            self.heard.append(what)

        return call

    def probe(self) -> None:
        if self._silent_for:
            self._silent_for -= 1
            raise ConnectionError("no MLflow server answers")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PAUSES_S", (1e-6, 1e-6))


@given(st.integers(1, 12), st.dictionaries(st.integers(0, 20), st.integers(0, 4)))
def test_everything_in_order_and_once(num_calls: int, silences: dict[int, int]) -> None:
    server = Server(silences)
    spool = Spool(server.probe)
    said = [str(i) for i in range(num_calls)]
    for what in said:
        spool.add(server.tell(what))
        spool.drain()
    while not spool.drain():
        pass
    assert server.heard == said
    assert not spool.is_refused


def test_a_silent_server_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PAUSES_S", (60.0, 60.0))
    server = Server({0: 1})
    spool = Spool(server.probe)
    spool.add(server.tell("one"))
    assert not spool.drain()
    assert not spool.drain(), "within the minute nobody asks again"
    assert server._calls == 1
    assert not spool.empty(patience_s=0.1)
    assert not server.heard


def test_silence_and_return_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    server = Server({0: 3})
    spool = Spool(server.probe)
    spool.add(server.tell("one"))
    assert spool.empty(patience_s=10)
    assert [("kept" in r.message, "again" in r.message) for r in caplog.records] == [
        (True, False),
        (True, True),
    ]


def test_what_is_refused_is_given_up_with_all_behind_it(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(refuses="two")
    spool = Spool(server.probe)
    for what in ("one", "two", "three"):
        spool.add(server.tell(what))
    assert spool.drain()
    spool.add(server.tell("four"))
    assert spool.drain()
    assert server.heard == ["one"]
    assert server._calls == 3, "one, and two tried twice"
    assert spool.is_refused
    assert "the study goes on without it: 500" in caplog.text
