"""A cloud whose machines are folders of this one: Ray's launcher and autoscaler start them.

A node has a loopback address, a home, a folder for temporary files and a working folder of its own.
"""

import json
import os
import shutil
import subprocess
import threading
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from ray.autoscaler.command_runner import CommandRunnerInterface
from ray.autoscaler.node_provider import NodeProvider

MARK = "RAY_CLOUD_INSTANCE_ID"
"""Environment of all that Ray starts on a node."""
_lock = threading.Lock()


class LocalNodes(NodeProvider):
    """``provider: {type: external, module: local_nodes.LocalNodes, folder: …}``"""

    @property
    def _folder(self) -> Path:
        return Path(self.provider_config["folder"])

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        found = [file.parent.name for file in sorted(self._folder.glob("*/tags.json"))]
        return [n for n in found if tag_filters.items() <= self.node_tags(n).items()]

    def is_running(self, node_id: str) -> bool:
        return (self._folder / node_id / "tags.json").exists()

    def is_terminated(self, node_id: str) -> bool:
        return not self.is_running(node_id)

    def node_tags(self, node_id: str) -> dict[str, str]:
        with _lock, suppress(FileNotFoundError):
            return json.loads((self._folder / node_id / "tags.json").read_text())
        return {}

    def set_node_tags(self, node_id: str, tags: dict[str, str]) -> None:
        known = self.node_tags(node_id)
        if known or not (self._folder / node_id).exists():
            self._write(node_id, known | tags)

    def internal_ip(self, node_id: str) -> str:
        return node_id.partition("_")[0]

    external_ip = internal_ip

    def create_node(
        self, node_config: dict[str, Any], tags: dict[str, str], count: int
    ) -> dict[str, Any]:
        for _ in range(count):
            number = 10 + sum(1 for _ in self._folder.iterdir())
            self._write(f"127.0.0.{number}_{uuid.uuid4().hex[:8]}", tags)
        return {}

    def terminate_node(self, node_id: str) -> None:
        (self._folder / node_id / "tags.json").unlink(missing_ok=True)
        kill(node_id)

    def get_command_runner(self, log_prefix: str, node_id: str, *_: Any, **__: Any) -> Any:
        return Shell(self._folder / node_id, self.internal_ip(node_id))

    @staticmethod
    def bootstrap_config(cluster_config: dict[str, Any]) -> dict[str, Any]:
        return cluster_config

    def _write(self, node_id: str, tags: dict[str, str]) -> None:
        folder = self._folder / node_id
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        with _lock:
            part = folder / "tags.part"
            part.write_text(json.dumps(tags))
            part.rename(folder / "tags.json")


class Shell(CommandRunnerInterface):
    """What SSH would be."""

    def __init__(self, home: Path, address: str) -> None:
        self._home, self._address = home, address

    def run(
        self,
        cmd: str | None = None,
        timeout: int = 120,
        exit_on_fail: bool = False,
        port_forward: Any = None,
        with_output: bool = False,
        environment_variables: dict[str, object] | None = None,
        run_env: str = "auto",
        ssh_options_override_ssh_key: str = "",
        shutdown_after_run: bool = False,
    ) -> str:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        own = {"HOME": self._home, "TMPDIR": self._home / "tmp", "NODE_IP": self._address}
        given = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in (environment_variables or {}).items()
        }
        with open(self._home / "shell.log", "a") as log:
            log.write(f"$ {cmd}\n")
            log.flush()
            done = subprocess.run(
                ["bash", "-c", cmd or "true"],
                env=kept | {k: str(v) for k, v in own.items()} | given,
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if with_output else log,
                stderr=log,
                text=True,
                timeout=max(timeout, 600),
                check=True,
                start_new_session=True,
            )
        return done.stdout or ""

    def run_rsync_up(self, source: str, target: str, options: Any = None, **_: Any) -> None:
        place = Path(target.replace("~", str(self._home), 1))
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)

    def remote_shell_command_str(self) -> str:
        return f"cd {self._home}"


def kill(node_id: str) -> None:
    """As if its plug were pulled: every process that bears its mark."""
    for _ in range(3):  # what was starting others while it was looked at
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if process.environ().get(MARK) == node_id:
                    process.kill()
