"""AWS's notice of an interruption, told by a stand-in for a machine's metadata."""

import importlib.util
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from .launcher import ROOT

ACTION = "/latest/meta-data/spot/instance-action"


def spot_notice() -> Any:
    spec = importlib.util.spec_from_file_location("spot_notice", ROOT / "clusters/spot_notice.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Metadata(BaseHTTPRequestHandler):
    """As version 2 of AWS's: nothing without a token."""

    action: str | None = None

    def do_PUT(self) -> None:
        self._answer(200 if self.path == "/latest/api/token" else 404, "a-token")

    def do_GET(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") != "a-token":
            self._answer(401, "")
        elif self.path == ACTION and self.action:
            self._answer(200, self.action)
        else:
            self._answer(404, "")

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Metadata)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_no_notice(machine: str) -> None:
    assert spot_notice().notice(machine) is None


def test_a_notice(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = json.dumps({"action": "terminate", "time": "2026-11-20T08:22:00Z"})
    monkeypatch.setattr(Metadata, "action", said)
    assert spot_notice().notice(machine) == datetime(2026, 11, 20, 8, 22, tzinfo=UTC)


def test_no_machine_of_aws() -> None:
    with pytest.raises(OSError, match="refused"):
        spot_notice().notice("http://127.0.0.1:1")


def test_ray_takes_the_command() -> None:
    """Parsed by Ray's own command line, without a cluster to speak to."""
    from ray.scripts.scripts import drain_node

    _, module, flag, name, *arguments = spot_notice().drain_command("10.0.0.1:6379", "ab" * 28, 119)
    assert (module, flag, name) == ("-m", "ray.scripts.scripts", "drain-node")
    parsed = drain_node.make_context("drain-node", arguments).params
    assert parsed["reason"] == "DRAIN_NODE_REASON_PREEMPTION"
    assert parsed["deadline_remaining_seconds"] == 109
    assert parsed["node_id"] == "ab" * 28
