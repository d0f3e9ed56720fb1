"""A store on S3, by a server of moto's that fails now and then."""

import http.client
import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import polars as pl
import pytest

from raystudy.ledger import SCHEMA, Ledger
from raystudy.noise.symmetric import Symmetric
from raystudy.preflight import Questions, ask, put_token, take_token
from raystudy.store import Store

from .object_store import BUCKET, SECRET, object_store

pytestmark = pytest.mark.slow

SPECS = [Symmetric(rate=i / 100) for i in range(30)]


class Flaky(BaseHTTPRequestHandler):
    """Passes requests on; of every hundred, ``percent`` get no answer, or one of being busy, before
    the server has heard them or after."""

    protocol_version = "HTTP/1.1"
    behind, percent, rng = "", 0, random.Random(0)
    asked: list[str]

    def handle_any(self) -> None:
        type(self).asked.append(f"{self.command} {self.path}")
        trouble = self.rng.choice(["busy", "cut"]) if self.rng.random() < self.percent / 100 else ""
        after = self.rng.random() < 0.5
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if trouble and not after:
            return self._fail(trouble)
        connection = http.client.HTTPConnection(self.behind, timeout=10)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        if trouble:
            return self._fail(trouble)
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815

    def _fail(self, trouble: str) -> None:
        self.close_connection = True
        if trouble == "busy":
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Flaky]]:
    """The server's front; nothing fails until its ``percent`` is set."""
    with object_store() as environment:
        front = type("Front", (Flaky,), {"asked": [], "percent": 0, "rng": random.Random(0)})
        front.behind = urlsplit(environment["AWS_ENDPOINT_URL"]).netloc
        server = ThreadingHTTPServer(("127.0.0.1", 0), front)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        try:
            yield front
        finally:
            server.shutdown()
            server.server_close()


def fill(store: Store) -> None:
    for spec in SPECS:
        with store.writing("things", spec) as (folder, _):
            (folder / "a.txt").write_text(f"{spec.rate}")
            (folder / "sub").mkdir()
            (folder / "sub" / "b.bin").write_bytes(bytes(100))


def test_failures_are_repeated(
    s3: type[Flaky], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = Store(f"s3://{BUCKET}/flaky")
    s3.percent = 10
    fill(store)
    assert store.done_keys("things") == {spec.key for spec in SPECS}
    for spec in SPECS:
        found = store.local("things", spec.key)
        assert (found / "a.txt").read_text() == f"{spec.rate}"
        assert (found / "sub" / "b.bin").stat().st_size == 100
    for i in range(20):
        store.write(bytes(1000 + i), "room", f"{i:02d}")
    assert store.names("room") == [f"{i:02d}" for i in range(20)]
    store.remove("room", "03")
    assert store.read("room", "03") is None
    assert store.read("room", "04") == bytes(1004)


def test_what_is_done_comes_by_one_listing(s3: type[Flaky]) -> None:
    store = Store(f"s3://{BUCKET}/many")
    assert store.done_keys("things") == set()
    fill(store)
    s3.asked.clear()
    assert len(store.done_keys("things")) == len(SPECS)
    assert len(s3.asked) <= 2


def test_an_artifact_without_its_marker_is_not_there(
    s3: type[Flaky], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is killed on the way has published nothing."""
    store = Store(f"s3://{BUCKET}/cut")
    put = store.fs.put_file

    def killed_before_the_last(local: str, remote: str) -> None:
        if remote.endswith("_done.json"):
            raise KeyboardInterrupt
        put(local, remote)

    with monkeypatch.context() as patch:
        patch.setattr(store.fs, "put_file", killed_before_the_last)
        with pytest.raises(KeyboardInterrupt):
            fill(store)
    assert store.names("things", SPECS[0].key), "something had come already"
    assert store.done_keys("things") == set()
    assert not store.done("things", SPECS[0].key)
    fill(store)
    assert len(store.done_keys("things")) == len(SPECS)


def test_a_ledger(s3: type[Flaky]) -> None:
    """Read whole, though each append is a file of its own."""
    store = Store(f"s3://{BUCKET}/ledger")
    ledger = Ledger(store)
    assert ledger.read().is_empty()
    s3.percent = 5
    for i in range(10):
        row = dict.fromkeys(SCHEMA.names()) | {"cell": f"c{i}", "split": "test", "metric": "m"}
        rows = pl.DataFrame([row | {"value": i / 7}], schema=SCHEMA)
        predictions = {"cell": [f"c{i}"], "split": ["test"], "id": ["0"], "label": [0]}
        ledger.append(rows, pl.DataFrame(predictions | {"logits": [[0.0, 1.0]]}))
    assert ledger.read()["value"].to_list() == [i / 7 for i in range(10)]
    assert ledger.predictions([f"c{i}" for i in range(10)]).height == 10
    assert ledger.finished({"c3", "c11"}) == {"c3"}


def test_a_bucket_is_not_made_by_chance(s3: type[Flaky]) -> None:
    store = Store("s3://mistyped/store")
    with pytest.raises(FileNotFoundError):
        store.write(b"x", "room", "file")
    assert [line for line in s3.asked if line.startswith("PUT /mistyped ")] == []
    (fault,) = ask(Questions(store.url), "here").faults
    assert fault.startswith("store s3://mistyped/store: ")


def test_a_preflight_leaves_nothing(s3: type[Flaky]) -> None:
    store = Store(f"s3://{BUCKET}/checked")
    token = put_token(store)
    assert ask(Questions(store.url, token=token), "here").faults == ()
    take_token(store, token)
    assert store.fs.find(f"{BUCKET}/checked") == []


def test_no_secret_is_said(
    s3: type[Flaky], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither when all is well nor by an error, down to the chattiest logger."""
    caplog.set_level("DEBUG")
    store = Store(f"s3://{BUCKET}/secret")
    store.write(b"x", "room", "file")
    s3.percent = 100
    (fault,) = ask(Questions(store.url), "here").faults
    said = fault + caplog.text + repr(store.__dict__) + "".join(capfd.readouterr())
    assert "s3" in caplog.text
    assert SECRET not in said
