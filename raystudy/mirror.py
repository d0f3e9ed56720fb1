"""Mirror: what MLflow is told of a study while it runs, and brought up to at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

from raystudy.ledger import Ledger
from raystudy.plan import Plan
from raystudy.shards.table import Fault
from raystudy.spec import Pretraining, Trunk
from raystudy.spool import Spool
from raystudy.stages.event import Event
from raystudy.store import Store
from raystudy.tracking import Tracker


def track(
    events: Iterator[Event],
    specs: dict[str, Pretraining],
    store: Store,
    tracker: Tracker,
    spool: Spool,
) -> Iterator[Event]:
    """Log what passes by: curves as they grow, one batch a moment. MLflow mirrors the study and
    must not end it: what it cannot be told stays in ``spool``."""
    waiting: dict[str, list[tuple[int, dict[str, float]]]] = {}
    started: set[str] = set()

    def note(event: Event) -> None:
        spec = specs.get(event.key)
        if isinstance(spec, Trunk):  # its curve is the beginning of its branches'
            return
        if spec is None and event.kind != "waiting":  # a unit of the grid
            return
        if event.kind != "waiting" and event.key not in started:
            started.add(event.key)
            spool.add(partial(_start, specs[event.key], tracker))
        if event.kind == "progress":
            waiting.setdefault(event.key, []).append((event.step, dict(event.metrics)))
            return
        for key, points in waiting.items():
            spool.add(partial(tracker.log, key, points))
        waiting.clear()
        if event.kind == "done":
            spool.add(partial(_finish, specs[event.key], store, tracker))
        if event.kind == "failed":
            spool.add(partial(tracker.finish, event.key, "FAILED", event.error))
        spool.drain()

    for event in events:
        note(event)
        yield event


def mirror(todo: Plan, store: Store, tracker: Tracker) -> None:
    """Bring MLflow up to the store: whatever a killed driver did not come to log."""
    finished = store.done_keys("pretrainings")
    for spec in todo.pretrainings:
        if spec.key in finished and tracker.status(spec.key) != "FINISHED":
            curve = json.loads((store.local("pretrainings", spec.key) / "curve.json").read_text())
            _start(spec, tracker)
            tracker.log(spec.key, [(int(step), point) for step, point in curve])
            _finish(spec, store, tracker)
    cells = [cell.key for cell in todo.cells] + [key for one in todo.imported for key in one.cells]
    tracker.log_cells(Ledger(store).read(cells, todo.study.metrics))


def run_name(spec: Pretraining) -> str:
    """How people call a pre-training."""
    noise = spec.noise.name if spec.noise else "clean"
    trunk = "trunk: " if isinstance(spec, Trunk) else ""
    return f"{trunk}{spec.method.name} {spec.source.name} {spec.size:,} {noise} seed {spec.seed}"


def _damage(spec: Pretraining, store: Store) -> list[tuple[int, dict[str, float]]]:
    """What the data of a finished pre-training lacked, by reason, as metrics of its last step."""
    facts = store.provenance("pretrainings", spec.key)
    counts = {
        f"{kind}/{Fault(reason).name.lower()}": float(n)
        for kind, found in (("left_out", "left_out"), ("replaced", "faults"))
        for reason, n in facts.get(found, {}).items()
    }
    return [(spec.num_steps, counts)] if counts else []


def _finish(spec: Pretraining, store: Store, tracker: Tracker) -> None:
    tracker.log(spec.key, _damage(spec, store))
    tracker.finish(spec.key, "FINISHED")


def _start(spec: Pretraining, tracker: Tracker) -> None:
    axes = spec.axes() | {"seed": spec.seed}
    tracker.start(spec.key, run_name(spec), "pretraining", axes, spec.describe())
