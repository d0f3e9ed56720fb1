"""Run a study: what is missing, stage after stage, mirrored to MLflow as it happens.

The store and its ledger are the truth. Killed at any moment, the same call goes on from there.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from raystudy.drawn import published, report, report_folder
from raystudy.driver import sole_driver
from raystudy.imports import keep
from raystudy.ledger import Ledger
from raystudy.mirror import mirror, run_name, track
from raystudy.plan import Plan, plan
from raystudy.rungs import rungs
from raystudy.spec import FULL, Pretraining, Study, Trunk
from raystudy.spool import Spool
from raystudy.stages.adapt import Unit, units
from raystudy.stages.event import Event
from raystudy.stages.index import leaves
from raystudy.stages.score import score, unscored
from raystudy.stages.site import Site
from raystudy.store import Store
from raystudy.tracking import Tracker, check
from raystudy.trunks import own_samples
from raystudy.watcher import Watcher

log = logging.getLogger(__name__)

PATIENCE_S = 120.0
"""At the end of a study, for an MLflow server that is silent."""
MAX_WAIT_SHARE = 0.1
"""Of a pre-training's time spent waiting for data: above it, the loaders are the limit."""


@dataclass
class Outcome:
    """What a run did."""

    plan: Plan
    failures: dict[str, str] = field(default_factory=dict)
    """Key of a piece of work → what it was and why it failed."""
    report: str | None = None
    """Path or URL of its page."""
    is_mirrored: bool = True
    """Whether MLflow has been told of all of it."""
    seconds: float = 0.0


def run(
    study: Study,
    store: Store,
    open_site: Callable[[], AbstractContextManager[Site]],
    watcher: Watcher,
    tracking_uri: str,
    *,
    retry_failed: bool = False,
    skip_decided: bool = False,
) -> Outcome:
    """Compute what is missing of ``study``, then fit and report. Cells that failed are left alone,
    unless ``retry_failed``; with ``skip_decided`` seeds run one after the other, and what can no
    longer change a verdict is left out (``raystudy.rungs``).

    ``open_site`` is called only if something is missing. Raises ValueError or FileNotFoundError for
    what can never run, BusyError if another driver is at it.
    """
    started = time.time()
    todo = plan(study, store, retry_failed=retry_failed)
    outcome = Outcome(todo)
    with sole_driver(study, store):
        tracker = open_tracker(study, store, tracking_uri)
        spool = Spool(partial(check, tracking_uri))
        try:
            if todo.missing_cells:
                parts = rungs(todo, store, retry_failed=retry_failed) if skip_decided else [todo]
                with open_site() as site:
                    events = partial(track, store=store, tracker=tracker, spool=spool)
                    for part in parts:
                        _compute(part, site, store, events, watcher, outcome)
        except BaseException as error:
            status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
            spool.add(lambda: tracker.end_all(status))
            spool.drain()
            raise
        score_study(study, store, watcher)
        keep(todo.imported, store)
        page = report(study, store, watcher, imported=todo.imported)
        watcher.begin("mlflow", 1, "mirror")
        if spool.is_refused:
            spool = Spool(partial(check, tracking_uri))
        spool.add(lambda: mirror(todo, store, tracker))
        if page:
            spool.add(lambda: tracker.log_report(page.parent))
            outcome.report = published(page, study, store)
        outcome.is_mirrored = spool.empty(PATIENCE_S) and not spool.is_refused
        watcher.advance("mlflow")
    outcome.seconds = time.time() - started
    return outcome


def open_tracker(study: Study, store: Store, tracking_uri: str) -> Tracker:
    """The caller holds the study's lock. Raises as ``Tracker`` does."""
    is_server = tracking_uri.startswith("http")  # which knows a place for files itself
    root = None if is_server or not store.is_local else str(Path(store.root) / "mlartifacts")
    tracker = Tracker(tracking_uri, study.name, root)
    tracker.reconcile()
    return tracker


def sync(study: Study, store: Store, tracking_uri: str) -> tuple[int, int]:
    """Tell MLflow what ``store`` holds of ``study``, its report too if there is one here; how many
    cells that are, of how many. Raises BusyError, or ConnectionError if no server answers."""
    todo = plan(study, store)
    with sole_driver(study, store):
        tracker = open_tracker(study, store, tracking_uri)
        keep(todo.imported, store)
        mirror(todo, store, tracker)
        folder = report_folder(study, store)
        if (folder / "report.html").exists():
            tracker.log_report(folder)
    finished = Ledger(store).finished({cell.key for cell in todo.cells})
    return len(finished), len(todo.cells)


def score_study(study: Study, store: Store, watcher: Watcher) -> int:
    """Compute the metrics of ``study`` that finished cells lack. Returns the number of cells."""
    missing = unscored((cell.key for cell in study.cells()), study.metrics, store)
    total = sum(len(Ledger(store).cells_in(file)) for file in missing)
    if missing:
        watcher.begin("metrics", total, "cells")
        score(missing, store, lambda num_cells: watcher.advance("metrics", num_cells))
    return total


def _compute(
    todo: Plan,
    site: Site,
    store: Store,
    track: Callable[[Iterator[Event], dict[str, Pretraining]], Iterator[Event]],
    watcher: Watcher,
    outcome: Outcome,
) -> None:
    site.check(todo.missing_pretrainings)
    if todo.missing_sources:
        watcher.begin("sources", len(todo.missing_sources), "sources")
        names = {s.key: f"source {s.name}" for s in todo.missing_sources}
        _follow("sources", site.index(todo.missing_sources), names, watcher, outcome)

    failed = outcome.failures.keys()
    specs = {
        p.key: p for p in todo.work if not any(leaf.key in failed for leaf in leaves(p.source))
    }
    there = store.done_keys(Pretraining.room) | specs.keys()
    cells = [
        c
        for c in todo.missing_cells
        if c.backbone.key in there or not isinstance(c.backbone, Pretraining)
    ]
    work = {u.key: u for u in order_units(units(cells))}
    if specs:
        amounts = {p.key: own_samples(p, todo.trunks) for p in specs.values()}
        amounts |= {t.key: 0 for t in todo.trunks if t not in todo.missing_trunks}
        watcher.begin("pretrain", sum(amounts.values()), "samples")
    else:
        amounts = {}
    if work:
        watcher.begin("adapt", sum(len(u.cells) for u in work.values()), "cells")
    events = track(site.compute(list(specs.values()), list(work.values())), specs)
    samples = _Samples(specs, amounts, watcher)
    for event in events:
        if event.key in work:
            _follow_unit(work[event.key], event, watcher, outcome)
        elif event.key in specs:
            if event.kind == "failed":
                _fail(run_name(specs[event.key]), event, watcher, outcome)
            samples.follow(event)
        watcher.refresh()
    samples.warn_of_waits()
    _drop_short_trunks(todo, store)


def order_units(work: Sequence[Unit]) -> list[Unit]:
    """Costly ones first, as far as can be guessed: a long unit that starts last is what everyone
    waits for."""

    def guess(unit: Unit) -> tuple[bool, float, str]:
        is_trained = unit.cells[0].adaptation.inputs != "features"
        amounts = [math.inf if c.shots == FULL else float(c.shots or 0) for c in unit.cells]
        return not is_trained, -max(amounts), unit.key

    return sorted(work, key=guess)


def _follow(
    stage: str,
    events: Iterator[Event],
    names: dict[str, str],
    watcher: Watcher,
    outcome: Outcome,
) -> None:
    for event in events:
        match event.kind:
            case "done":
                watcher.advance(stage)
            case "failed":
                _fail(names[event.key], event, watcher, outcome)
        watcher.refresh()


def _follow_unit(unit: Unit, event: Event, watcher: Watcher, outcome: Outcome) -> None:
    match event.kind:
        case "done":
            watcher.advance("adapt", len(unit.cells))
        case "failed":
            _fail(unit.title, event, watcher, outcome)


class _Samples:
    """How far pre-trainings have come; ``amounts`` says how many of its samples each run has still
    to train on."""

    def __init__(
        self, specs: Mapping[str, Pretraining], amounts: Mapping[str, int], watcher: Watcher
    ) -> None:
        self._specs, self._watcher = specs, watcher
        self._seen = {k: float(spec.samples_seen - amounts[k]) for k, spec in specs.items()}
        self._waited: dict[str, float] = {}

    def follow(self, event: Event) -> None:
        match event.kind:
            case "progress":
                self._waited[event.key] = event.metrics.get("data_wait_share", 0.0)
                self._advance(event.key, event.metrics.get("samples_seen", 0.0))
            case "done":
                self._advance(event.key, float(self._specs[event.key].samples_seen))

    def warn_of_waits(self) -> None:
        waited = self._waited.values()
        if waited and (share := sum(waited) / len(waited)) > MAX_WAIT_SHARE:
            log.warning(
                "training waited for data %.0f %% of its time (over %.0f %%): more loaders "
                "(--loaders) or fewer runs side by side (--lanes) would use the machine better",
                100 * share,
                100 * MAX_WAIT_SHARE,
            )

    def _advance(self, key: str, now: float) -> None:
        self._watcher.advance("pretrain", max(0.0, now - self._seen[key]))
        self._seen[key] = max(self._seen[key], now)


def _drop_short_trunks(todo: Plan, store: Store) -> None:
    """Keep the longest trunk of each family, with which larger sizes can begin, once every run that
    a shorter one was made for is done."""
    done = store.done_keys("pretrainings")
    wanted = {p.trunk.family for p in todo.missing_pretrainings if p.trunk and p.key not in done}
    families: dict[str, list[Trunk]] = {}
    for trunk in todo.trunks:
        families.setdefault(trunk.family, []).append(trunk)
    for family, trunks in families.items():
        for trunk in sorted(trunks, key=lambda t: t.num_steps)[:-1]:
            if family not in wanted:
                store.remove(trunk.room, trunk.key)


def _fail(what: str, event: Event, watcher: Watcher, outcome: Outcome) -> None:
    outcome.failures[event.key] = f"{what}: {event.error}"
    watcher.error(what, event.error)
