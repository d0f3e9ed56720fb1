"""MLflow's page for the runs of a store, served to this machine alone."""

import contextlib
import ipaddress
import os
import signal
import subprocess
import sys
from urllib.parse import urlsplit

from raystudy.public import public
from raystudy.tracking import ENVIRONMENT, default_artifact_root, sqlite_file


def ui(
    uri: str, artifact_root: str | None = None, host: str = "127.0.0.1", port: int = 5000
) -> int:
    """Serve MLflow's page for the runs at ``uri``, to this machine alone, until it is interrupted.

    Returns the server's exit status. Raises ValueError for a host that is not loopback or a ``uri``
    that is a server itself, FileNotFoundError if nothing was tracked yet.
    """
    if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
        raise ValueError(f"host {host} is open to others; use 127.0.0.1 and an SSH tunnel")
    if urlsplit(uri).scheme in ("http", "https"):
        raise ValueError(f"{public(uri)} is an MLflow server already; open it in a browser")
    file = sqlite_file(uri)
    if file and not file.exists():
        raise FileNotFoundError(f"{file} does not exist yet; run the study first")
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    command += ["--registry-store-uri", uri, "--host", host, "--port", str(port)]
    command += ["--allowed-hosts", "localhost:*,127.0.0.1:*,[::1]:*"]
    command += ["--workers", "1", "--uvicorn-opts", "--log-level warning"]
    if root := artifact_root or default_artifact_root(uri):
        command += ["--default-artifact-root", root]
    # The job queue is for evaluating language models; without it the page opens sooner.
    quiet = ENVIRONMENT | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    quiet |= {"PYTHONWARNINGS": "ignore"}
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    # In a group of its own it sees no Ctrl-C, which it would answer with a traceback.
    server = subprocess.Popen(command, env=quiet | dict(os.environ), process_group=0)
    try:
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait()
