"""``ray up`` and ``ray down`` of a cluster on this machine, with nothing in common but a store."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from . import local_nodes

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
QUICK = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "10",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "10",
    "RAY_UP_enable_autoscaler_v2": "1",
}
NEEDED = ("cluster_synced_files", "initialization_commands", "setup_commands")
NEEDED += ("head_setup_commands", "worker_setup_commands", "rsync_exclude", "rsync_filter")
"""Lists that Ray fills in for every cloud but one that it does not know."""


class Launched:
    """A head that does no work, one worker, and a second one while there is work for it. Nodes
    inherit ``env``, as they would from an image."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._scratch = Path(tempfile.mkdtemp(prefix="rs-", dir="/tmp"))  # sockets need it short
        self.nodes = self._scratch / "nodes"
        self.nodes.mkdir()
        self._file = folder / "cluster.yaml"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY", "MLFLOW_", "AWS_"))}
        search = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        self.env = kept | QUICK | env
        self.env["PYTHONPATH"] = os.pathsep.join(part for part in search if part)
        self.env["PATH"] = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        self._of_nodes = set(env)
        self._file.write_text(yaml.safe_dump(self._config()))

    @property
    def provider(self) -> local_nodes.LocalNodes:
        return local_nodes.LocalNodes(self._config()["provider"], "")

    @property
    def head(self) -> str:
        (head,) = self.provider.non_terminated_nodes({"ray-node-type": "head"})
        return head

    @property
    def dashboard(self) -> str:
        return f"http://{self.provider.internal_ip(self.head)}:8365"

    def workers(self) -> int:
        """How many have joined; none while the head's page is not up."""
        try:
            with urllib.request.urlopen(f"{self.dashboard}/api/v0/nodes", timeout=10) as answer:
                nodes = json.load(answer)["data"]["result"]["result"]
        except OSError:
            return 0
        return sum(node["state"] == "ALIVE" and not node["is_head_node"] for node in nodes)

    def up(self) -> None:
        self._ray("up", "-y", "--no-config-cache", str(self._file))

    def down(self) -> None:
        self._ray("down", "-y", str(self._file))

    def lose_head(self) -> None:
        self.provider.terminate_node(self.head)

    def raystudy(self, *arguments: str) -> "subprocess.Popen[str]":
        """Where a user sits: none of the nodes' environment is known there."""
        env = {k: v for k, v in self.env.items() if k not in self._of_nodes}
        return subprocess.Popen(
            [str(BIN / "raystudy"), *arguments, "--address", self.dashboard],
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def close(self) -> None:
        for folder in self.nodes.iterdir():
            local_nodes.kill(folder.name)
        shutil.rmtree(self._scratch, ignore_errors=True)

    def logs(self) -> Iterator[Path]:
        """Everything that nodes have written down."""
        yield from (p for p in self._scratch.rglob("*") if p.is_file())

    def _ray(self, *arguments: str) -> None:
        done = subprocess.run(
            [str(BIN / "ray"), *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _config(self) -> dict[str, Any]:
        settings = " ".join(f"export {name}={value};" for name, value in QUICK.items())
        common = "--node-ip-address=$NODE_IP --min-worker-port=0 --max-worker-port=0"
        common += " --object-store-memory=200000000 --disable-usage-stats"
        # Of its own, as on machines apart: a node that finds the folder of a job writes it anew.
        common += f" --temp-dir={self._scratch}/$NODE_IP"
        head = f"--head --port=6389 --dashboard-host=$NODE_IP --dashboard-port=8365 {common}"
        head += " --autoscaling-config=~/ray_bootstrap_config.yaml"
        return {
            "cluster_name": "raystudy-test",
            "max_workers": 2,
            "idle_timeout_minutes": 0.3,
            "upscaling_speed": 8,
            "provider": {
                "type": "external",
                "module": "local_nodes.LocalNodes",
                "folder": str(self.nodes),
            },
            "auth": {"ssh_user": "nobody"},
            "file_mounts": {},
            **{name: [] for name in NEEDED},
            "head_node_type": "head",
            "available_node_types": {
                "head": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
                "cpu": {
                    "resources": {"CPU": 1},
                    "node_config": {},
                    "min_workers": 1,
                    "max_workers": 2,
                },
            },
            "head_start_ray_commands": [f"{settings} ray start {head}"],
            "worker_start_ray_commands": [
                f"{settings} ray start --address=$RAY_HEAD_IP:6389 {common}"
            ],
        }


@contextmanager
def launched(folder: Path, env: dict[str, str]) -> Iterator[Launched]:
    cluster = Launched(folder, env)
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.close()


def until(happened: Any, timeout_s: float, what: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.5)
