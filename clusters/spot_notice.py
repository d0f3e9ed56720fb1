"""Passes AWS's notice that a spot node will be taken away on to Ray, which tells those who train.

Runs beside Ray on each worker (``cluster.yaml`` starts it). Without it the first sign of an
interruption is a dead node, and what was computed since the last checkpoint is lost.
"""

import argparse
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime

METADATA = "http://169.254.169.254"
HEADER = "X-aws-ec2-metadata-token"
POLL_S = 5
"""As often as AWS asks one to look."""
TOKEN_S = 300
SPARED_S = 10
"""Of the time that is left: Ray must be done before the machine is."""


def notice(base: str = METADATA) -> datetime | None:
    """When this machine will be taken away; None if nobody has said so. Raises OSError if the
    machine's metadata cannot be read."""
    token = _request(f"{base}/latest/api/token", "PUT", f"{HEADER}-ttl-seconds", TOKEN_S)
    try:
        found = _request(f"{base}/latest/meta-data/spot/instance-action", "GET", HEADER, token)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise
    return datetime.fromisoformat(json.loads(found)["time"])


def drain_command(address: str, node_id: str, left_s: float) -> list[str]:
    """What tells Ray that a node will be gone in ``left_s`` seconds."""
    return [
        *(sys.executable, "-m", "ray.scripts.scripts", "drain-node"),
        *("--address", address, "--node-id", node_id),
        *("--reason", "DRAIN_NODE_REASON_PREEMPTION"),
        *("--reason-message", "spot interruption"),
        *("--deadline-remaining-seconds", str(max(1, int(left_s) - SPARED_S))),
    ]


def node_id(address: str) -> str:
    """Of the Ray node on this machine."""
    import ray

    with ray.init(address=address, log_to_driver=False):
        return ray.get_runtime_context().get_node_id()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True, help="of the cluster: HEAD:6379")
    address = parser.parse_args().address
    while True:
        try:
            end = notice()
        except OSError as error:
            print(f"no metadata: {error}", flush=True)
            end = None
        if end:
            left_s = (end - datetime.now(UTC)).total_seconds()
            print(f"to be taken away in {left_s:.0f} s", flush=True)
            subprocess.run(drain_command(address, node_id(address), left_s), check=False)
            return
        time.sleep(POLL_S)


def _request(url: str, method: str, header: str, value: object) -> str:
    request = urllib.request.Request(url, method=method, headers={header: str(value)})
    with urllib.request.urlopen(request, timeout=2) as answer:
        return answer.read().decode()


if __name__ == "__main__":
    main()
