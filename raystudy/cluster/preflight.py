"""Preflight on a Ray cluster: every node is asked, and what they say is judged."""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raystudy.cluster.placement import Placement, check_room
from raystudy.cluster.reach import reachable
from raystudy.cluster.stream import IN_FLIGHT, MAX_PARCEL_BYTES, MAX_WAITING_BYTES
from raystudy.preflight import (
    Facts,
    Finding,
    PreflightError,
    Questions,
    answers,
    ask,
    judge,
    put_token,
    take_token,
    versions,
)
from raystudy.spec import Pretraining
from raystudy.store import Store

log = logging.getLogger(__name__)

ANSWER_S = 180.0
"""For all nodes together; a process that imports torch from a cold disk takes most of a minute."""
DEATH_S = 30.0
"""After which Ray knows that a node has gone, with its own settings of health checks."""


def examine(
    questions: Questions, placement: Placement, specs: Sequence[Pretraining]
) -> list[Finding]:
    """What is wrong with the cluster that this process is connected to, for those pre-trainings.

    Nodes that the autoscaler has yet to start count as room, and cannot be asked.
    """
    found: list[Finding] = []
    try:
        check_room(specs, placement, reachable())
    except ValueError as error:
        found.append(Finding(str(error)))
    store = Store(questions.store_url)
    try:
        token = put_token(store)
    except PreflightError as error:
        return [*found, Finding(str(error))]
    try:
        facts, silent = _ask_all(replace(questions, token=token))
    finally:
        take_token(store, token)
    per_lane = MAX_WAITING_BYTES + placement.num_loaders * IN_FLIGHT * MAX_PARCEL_BYTES
    return [*found, *silent, *judge(facts, versions(), per_lane)]


def check_address(address: str) -> None:
    """Raises PreflightError if nobody answers there: Ray itself would try for minutes."""
    if reason := answers(address):
        raise PreflightError(
            f"no Ray cluster answers at {address} ({reason}); see that its head runs (ray status, "
            "on the head), that this machine reaches the port, or leave out --address"
        )


def _ask_all(questions: Questions) -> tuple[list[Facts], list[Finding]]:
    """What every node says, and which of them say nothing. One that leaves while it is asked, spot
    or idle, is no fault of the cluster."""
    nodes = _alive()
    asked = {_ask(node, questions): name for name, node in nodes.items()}
    facts, silent, waiting = [], {}, list(asked)
    lost: set[str] = set()
    deadline = time.monotonic() + ANSWER_S
    while waiting and time.monotonic() < deadline:
        done, waiting = ray.wait(waiting, timeout=1)
        for ref in done:
            try:
                facts.append(ray.get(ref))
            except RayTaskError as error:  # it lives, and said why not
                silent[asked[ref]] = _reason(error)
            except RayError as error:
                silent[asked[ref]] = _reason(error)
                lost.add(asked[ref])
    for ref in waiting:
        ray.cancel(ref, force=True)
        silent[asked[ref]] = f"no answer within {ANSWER_S:.0f} s"
    for name in _gone(lost):
        log.info("%s left the cluster while it was asked", nodes[name]["NodeManagerAddress"])
        del silent[name]
    return (
        sorted(facts, key=lambda f: f.node),
        [_silent(nodes[name], reason) for name, reason in silent.items()],
    )


def _gone(lost: set[str]) -> set[str]:
    """Which of these nodes are dead: Ray learns of it after their tasks have failed."""
    deadline = time.monotonic() + DEATH_S
    while True:
        gone = lost - _alive().keys()
        if gone == lost or time.monotonic() > deadline:
            return gone
        time.sleep(0.5)


def _alive() -> dict[str, dict[str, Any]]:
    """Nodes by their id."""
    return {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}


def _ask(node: dict[str, Any], questions: Questions) -> Any:
    offers = node["Resources"]
    there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    task: Any = ray.remote(num_cpus=0, max_retries=0)(ask).options(scheduling_strategy=there)
    return task.remote(
        questions,
        node["NodeManagerAddress"],
        int(offers.get("GPU", 0)),
        int(offers.get("object_store_memory", 0)),
    )


def _silent(node: dict[str, Any], reason: str) -> Finding:
    return Finding(
        f"{node['NodeManagerAddress']}: {reason}; see that raystudy can be imported there "
        "(constraints.txt, or submit the study with its working folder), and its logs in /tmp/ray"
    )


def _reason(error: RayError) -> str:
    """The last line of a traceback says what it was."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
