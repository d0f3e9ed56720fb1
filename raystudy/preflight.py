"""Preflight: what would end a study hours later, found in seconds, each fault with its way out.

``ask`` is what a node finds out about itself, in a plain process; ``judge`` compares what all nodes
said. Both know nothing of Ray: ``raystudy.cluster.preflight`` sends the one to each node.
"""

from __future__ import annotations

import logging
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version

import raystudy
from raystudy.kinds import OnDisk, TaskOnDisk
from raystudy.public import public
from raystudy.shards.root import Root
from raystudy.spec import Study
from raystudy.stages.index import leaves
from raystudy.store import Store

log = logging.getLogger(__name__)

MIN_DISK_BYTES = 2 << 30
"""Below it the first checkpoint or download fails."""
GOOD_DISK_BYTES = 20 << 30
"""Below it copies of artifacts and what Ray spills may fill it in a long study."""
PACKAGES = ("ray", "torch", "torchvision", "timm", "open_clip_torch", "numpy", "pyarrow", "mlflow")
"""What must be alike for workers to understand each other and to compute the same."""
ROOM = "preflight"
STORE = "give the nodes access to it, or --store another place"
DATA = "mount it there, or name it by a URL that every node can read"
GPU_TIMEOUT_S = 120


class PreflightError(RuntimeError):
    """What cannot work, one line for each reason."""


@dataclass(frozen=True)
class Finding:
    """One line: what is wrong, and what to do about it."""

    line: str
    fatal: bool = True


@dataclass(frozen=True)
class Questions:
    """What nodes are asked. Picklable."""

    store_url: str
    tracking_uri: str | None = None
    """Only a server is asked for: a database in a file is the driver's alone."""
    data: tuple[tuple[str, str | None], ...] = ()
    """Folders or URLs of data sets, and of their manifests."""
    token: str = ""
    """Name of a file that the driver has put into the store."""


@dataclass(frozen=True)
class Facts:
    """What a node says of itself."""

    node: str
    versions: Mapping[str, str]
    scratch: str
    free_disk_bytes: int
    object_store_bytes: int = 0
    gpus_promised: int = 0
    gpus_seen: int = 0
    """By torch; only looked for where Ray promises some."""
    faults: tuple[str, ...] = ()


def questions(study: Study | None, store_url: str, tracking_uri: str | None) -> Questions:
    """What ``study`` needs of every node."""
    data: dict[str, str | None] = {}
    for grid in study.grids if study else ():
        for leaf in (leaf for source in grid.sources for leaf in leaves(source)):
            if isinstance(leaf, OnDisk):
                data[leaf.path] = leaf.manifest_path
        for task in grid.tasks:
            if isinstance(task, TaskOnDisk):
                data[task.path] = None
    return Questions(store_url, tracking_uri, tuple(data.items()))


def ask(asked: Questions, node: str, gpus_promised: int = 0, object_store: int = 0) -> Facts:
    """What this machine can reach and has. Never raises: what fails is a fault."""
    checks: list[tuple[str, str, Callable[[], object]]] = [
        (f"store {public(asked.store_url)}", STORE, partial(check_store, asked))
    ]
    for path, manifest in asked.data:
        checks.append((f"data {public(path)}", DATA, partial(check_data, path, manifest)))
    faults = [_failure(*check) for check in checks]
    if asked.tracking_uri and asked.tracking_uri.startswith("http"):
        faults.append(_mlflow_failure(asked.tracking_uri))
    scratch = tempfile.gettempdir()
    return Facts(
        node=node,
        versions=versions(),
        scratch=scratch,
        free_disk_bytes=shutil.disk_usage(scratch).free,
        object_store_bytes=object_store,
        gpus_promised=gpus_promised,
        gpus_seen=gpus_seen() if gpus_promised else 0,
        faults=tuple(line for line in faults if line),
    )


def judge(
    facts: Sequence[Facts], driver: Mapping[str, str], object_store_bytes: int = 0
) -> list[Finding]:
    """What is wrong, the same on several nodes said once. ``driver`` are the driver's versions,
    ``object_store_bytes`` what the streams of one lane take of a node's object store."""
    found: dict[Finding, list[str]] = {}
    for one in facts:
        for finding in _findings(one, driver, object_store_bytes):
            found.setdefault(finding, []).append(one.node)
    return [
        Finding(f"{_where(nodes, len(facts))}: {finding.line}", finding.fatal)
        for finding, nodes in sorted(found.items(), key=lambda item: not item[0].fatal)
    ]


def refuse(findings: Sequence[Finding]) -> None:
    """Warn of what is doubtful. Raises PreflightError for what cannot work, a line each."""
    for finding in findings:
        if not finding.fatal:
            log.warning("%s", finding.line)
    if fatal := [finding.line for finding in findings if finding.fatal]:
        raise PreflightError("\n".join(fatal))


def put_token(store: Store) -> str:
    """A file in the store by which nodes know that theirs is the driver's; ``ROOM/<the name>``.

    Raises OSError as ``store`` does, with a way out.
    """
    token = f"driver-{uuid.uuid4().hex}"
    try:
        store.write(token.encode(), ROOM, token)
    except Exception as error:
        raise PreflightError(
            f"store {public(store.url)}: the driver cannot write ({_said(error)}); give --store a "
            "place that you may write to"
        ) from error
    return token


def take_token(store: Store, token: str) -> None:
    store.remove(ROOM, token)


def check_store(asked: Questions) -> None:
    """Write, read back, remove. Raises OSError, or PreflightError if it is not the driver's."""
    store = Store(asked.store_url)
    if asked.token and store.read(ROOM, asked.token) != asked.token.encode():
        raise PreflightError(
            "it is not the store that the driver sees; give --store a folder that all nodes share, "
            "or a URL (s3://bucket/prefix)"
        )
    name, content = f"{socket.gethostname()}-{uuid.uuid4().hex}", os.urandom(1024)
    try:
        store.write(content, ROOM, name)
        if store.read(ROOM, name) != content:
            raise OSError("what was written is not what is read")
    finally:
        store.remove(ROOM, name)


def check_data(path: str, manifest: str | None) -> None:
    """Look at the folder, and read its manifest if there is one. Raises OSError."""
    if not Root(path).exists(""):
        raise FileNotFoundError("nothing there")
    if manifest and Root(manifest).exists("manifest.json"):
        Root(manifest).read("manifest.json")


def answers(address: str, timeout_s: float = 5.0) -> str | None:
    """Why nobody answers at ``host:port``; None if somebody does, or if it is no such address."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or "/" in host:
        return None
    try:
        socket.create_connection((host, int(port)), timeout_s).close()
    except OSError as error:
        return str(error.strerror or error)
    return None


def gpus_seen() -> int:
    """GPUs that torch can use here, found out by another process: this one must not hold one."""
    script = "import torch; print(torch.cuda.device_count() if torch.cuda.is_available() else 0)"
    environment = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            timeout=GPU_TIMEOUT_S,
        )
        return int(done.stdout.split()[-1])
    except (subprocess.TimeoutExpired, ValueError, IndexError):
        return 0


def versions() -> dict[str, str]:
    """Of this process."""
    found = {"python": platform.python_version(), "raystudy": raystudy.__version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found


def _findings(one: Facts, driver: Mapping[str, str], object_store: int) -> list[Finding]:
    found = [Finding(line) for line in one.faults]
    for name, expected in driver.items():
        if (here := one.versions.get(name, "missing")) != expected:
            found.append(
                Finding(
                    f"{name} is {here}, the driver's is {expected}; install both from "
                    "constraints.txt, or start that node anew"
                )
            )
    if one.free_disk_bytes < GOOD_DISK_BYTES:
        is_fatal = one.free_disk_bytes < MIN_DISK_BYTES
        found.append(
            Finding(
                f"{_gib(one.free_disk_bytes)} free in {one.scratch}, where checkpoints and copies "
                f"pass through; free {_gib(GOOD_DISK_BYTES)}, or set TMPDIR to a larger disk",
                is_fatal,
            )
        )
    if one.object_store_bytes and one.object_store_bytes < object_store:
        found.append(
            Finding(
                f"an object store of {_gib(one.object_store_bytes)}, where loaded images take up "
                f"to {_gib(object_store)} a lane: more would spill to disk; ray start "
                "--object-store-memory, or fewer --loaders",
                fatal=False,
            )
        )
    if one.gpus_seen < one.gpus_promised:
        found.append(
            Finding(
                f"Ray offers {one.gpus_promised} GPUs, torch sees {one.gpus_seen}; check "
                "nvidia-smi, and that the driver is new enough for this torch"
            )
        )
    return found


def _failure(what: str, way_out: str, check: Callable[[], object]) -> str | None:
    try:
        check()
    except PreflightError as error:  # has a way out of its own
        return f"{what}: {error}"
    except Exception as error:
        return f"{what}: {_said(error)}; {way_out}"
    return None


def _mlflow_failure(uri: str) -> str | None:
    from raystudy.tracking import check

    try:
        check(uri)
    except ConnectionError as error:  # has a way out of its own
        return str(error)
    return None


def _said(error: Exception) -> str:
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    return public(f"{type(error).__name__}: {first[:300]}")


def _where(nodes: Sequence[str], num_nodes: int) -> str:
    if len(nodes) == num_nodes > 1:
        return f"all {num_nodes} nodes"
    return ", ".join(nodes[:5]) + (f" and {len(nodes) - 5} more" if len(nodes) > 5 else "")


def _gib(num_bytes: float) -> str:
    return f"{num_bytes / 2**30:.1f} GiB"
