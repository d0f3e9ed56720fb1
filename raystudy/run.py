"""Run a study: what is missing, stage after stage, mirrored to MLflow as it happens.

The store and its ledger are the truth. Killed at any moment, the same call goes on from there.
"""

import json
import logging
import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import polars as pl
from filelock import FileLock, Timeout

import raystudy
from raystudy.annotate import annotated, with_pretraining_flops
from raystudy.imports import Read, in_order, keep, read_all
from raystudy.key import digest
from raystudy.laws.effective_data import EffectiveData
from raystudy.ledger import Ledger
from raystudy.mirror import mirror, run_name, track
from raystudy.plan import Plan, plan
from raystudy.rungs import rungs
from raystudy.skipped import skipped
from raystudy.spec import Pretraining, Study, Trunk
from raystudy.stages.adapt import Unit, units
from raystudy.stages.answers import answers
from raystudy.stages.event import Event
from raystudy.stages.index import leaves
from raystudy.stages.promise import promises
from raystudy.stages.score import score, unscored
from raystudy.stages.site import Site
from raystudy.store import Store
from raystudy.tracking import Tracker
from raystudy.trunks import own_samples

log = logging.getLogger(__name__)

MAX_WAIT_SHARE = 0.1
"""Of a pre-training's time spent waiting for data: above it, the loaders are the limit."""


class BusyError(RuntimeError):
    """Another driver works on this study in this store."""


class Watcher(Protocol):
    """Whoever shows the progress of a run; the CLI's table, or nothing."""

    def begin(self, stage: str, total: int, unit: str) -> None: ...

    def advance(self, stage: str, amount: float = 1.0) -> None: ...

    def error(self, what: str, message: str) -> None: ...

    def refresh(self) -> None: ...


@dataclass
class Outcome:
    """What a run did."""

    plan: Plan
    failures: dict[str, str] = field(default_factory=dict)
    """Key of a piece of work → what it was and why it failed."""
    report: Path | None = None
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
    with _sole_driver(study, store):
        tracker = Tracker(tracking_uri, study.name, _artifact_root(store))
        tracker.reconcile()
        try:
            if todo.missing_cells:
                parts = rungs(todo, store, retry_failed=retry_failed) if skip_decided else [todo]
                with open_site() as site:
                    for part in parts:
                        _compute(part, site, store, tracker, watcher, outcome)
        except BaseException as error:
            tracker.end_all("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
            raise
        score_study(study, store, watcher)
        keep(todo.imported, store)
        watcher.begin("mlflow", 1, "mirror")
        mirror(todo, store, tracker)
        watcher.advance("mlflow")
        outcome.report = report(study, store, watcher, imported=todo.imported)
        if outcome.report:
            tracker.log_report(outcome.report.parent)
    outcome.seconds = time.time() - started
    return outcome


def score_study(study: Study, store: Store, watcher: Watcher) -> int:
    """Compute the metrics of ``study`` that finished cells lack. Returns the number of cells."""
    missing = unscored((cell.key for cell in study.cells()), study.metrics, store)
    total = sum(len(Ledger(store).cells_in(file)) for file in missing)
    if missing:
        watcher.begin("metrics", total, "cells")
        score(missing, store, lambda num_cells: watcher.advance("metrics", num_cells))
    return total


def report(
    study: Study,
    store: Store,
    watcher: Watcher,
    *,
    force: bool = False,
    imported: Sequence[Read] | None = None,
) -> Path | None:
    """Draw the report from the ledger, unless the same one is already drawn. None if there is no
    pre-trained backbone to report on. ``imported`` is what the study's tables hold, if they have
    been read. Raises as ``raystudy.imports.read``."""
    from raystudy.report.models import Evidence
    from raystudy.report.page import write_report
    from raystudy.report.view import MissingCellsError

    found = read_all(study) if imported is None else imported
    keep(found, store)
    cells = study.cells()
    keys = [cell.key for cell in cells] + [key for one in found for key in one.cells]
    records = in_order(Ledger(store).read(keys, study.metrics), found)
    if records.is_empty():
        return None
    folder = report_folder(study, store)
    # What the page says is a function of the records, the study and the code that draws it.
    left_out = skipped(store, study.name, (cell.key for cell in cells))
    rows = records.select("cell", "split", "metric", "value").rows()
    content = digest([study.key, raystudy.__version__, rows, *sorted(left_out.items())])
    stamp, page = folder / "content.json", folder / "report.html"
    drawn = json.loads(stamp.read_text()) if stamp.exists() and page.exists() else None
    if drawn == content and not force:
        return page
    watcher.begin("report", 1, "page")
    try:
        evidence = None
        if study.grids and isinstance(study.law, EffectiveData):
            records = with_pretraining_flops(study, annotated(study, records))
        elif study.grids and records["architecture"].n_unique() > 1:  # others need no torch for it
            records = annotated(study, records)
            evidence = Evidence(promises(cells, store), *answers(cells, store))
        write_report(study, records, folder, facts(study, store, records, found), evidence)
    except MissingCellsError as error:
        log.warning("no report yet: %s", error)
        return None
    stamp.write_text(json.dumps(content))
    watcher.advance("report")
    return page


def report_folder(study: Study, store: Store) -> Path:
    """Reports are read by people: beside a local store, in the working folder for a remote one."""
    root = Path(store.root) if store.is_local else Path.cwd() / "raystudy-reports"
    return root / "studies" / study.name


def facts(
    study: Study, store: Store, records: pl.DataFrame, imported: Sequence[Read] = ()
) -> dict[str, str | float | int]:
    """Numbers about the computation itself, for the foot of the report."""
    specs = {c.backbone.key: c.backbone for c in study.cells()}
    trained = [s for s in specs.values() if isinstance(s, Pretraining)]
    finished = store.done_keys("pretrainings")
    trained = [s for s in trained if s.key in finished]
    spent = [store.provenance("pretrainings", s.key)["spent_s"] for s in trained]
    done = set(records["cell"])
    left_out = skipped(store, study.name, (c.key for c in study.cells() if c.key not in done))
    ours = {
        "pre-trainings": len(spent),
        **_damage_by_source(trained, store),
        "samples seen": sum(s.samples_seen for s in trained),
        "pre-training time (worker seconds)": round(sum(spent)),
        "adaptation time (worker seconds)": round(records.unique("cell")["seconds"].sum()),
    }
    return {
        "cells": len(done),
        **_skipped_by_reason(left_out),
        **(ours if study.grids else {}),
        **{f"imported from {Path(one.spec.path).name}": one.summary for one in imported},
        "raystudy": raystudy.__version__,
        "python": platform.python_version(),
    }


def _skipped_by_reason(left_out: Mapping[str, str]) -> dict[str, str]:
    """Cells that were left out because what they are for is decided; nothing where none was."""
    counts = Counter(left_out.values())
    said = "; ".join(f"{number:,}: {reason}" for reason, number in counts.items())
    return {"cells skipped, for it is decided": said} if said else {}


def _damage_by_source(trained: Sequence[Pretraining], store: Store) -> dict[str, str]:
    """What was wrong with the data, for people to read; nothing where nothing was."""
    left_out: dict[str, dict[str, int]] = {}
    replaced: dict[str, Counter[str]] = {}
    for spec in trained:
        facts = store.provenance("pretrainings", spec.key)
        left_out[spec.source.name] = facts.get("left_out", {})
        most = replaced.setdefault(spec.source.name, Counter())
        most |= Counter(facts.get("faults", {}))  # of the pre-training that met most
    said = {f"left out of {name}": counts for name, counts in left_out.items()}
    said |= {f"replaced while training on {name}": counts for name, counts in replaced.items()}
    return {
        what: "; ".join(f"{reason}: {n:,}" for reason, n in counts.items())
        for what, counts in said.items()
        if counts
    }


def _compute(
    todo: Plan, site: Site, store: Store, tracker: Tracker, watcher: Watcher, outcome: Outcome
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
    events = track(site.compute(list(specs.values()), list(work.values())), specs, store, tracker)
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
    """Costly ones first: a long unit that starts last is what everyone waits for."""
    return sorted(work, key=lambda u: (u.cells[0].adaptation.inputs != "images", u.key))


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


def _artifact_root(store: Store) -> str | None:
    return str(Path(store.root) / "mlartifacts") if store.is_local else None


@contextmanager
def _sole_driver(study: Study, store: Store) -> Iterator[None]:
    """The operating system drops this lock with its holder, however that ends."""
    if not store.is_local:
        yield
        return
    folder = Path(store.root) / "drivers"
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / f"{study.name}.json"
    lock = FileLock(note.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        holder = note.read_text() if note.exists() else ""
        raise BusyError(
            f"another driver is running study '{study.name}' in {store.url} {holder}; "
            "wait for it, or give --store another folder"
        ) from None
    try:
        note.write_text(json.dumps({"pid": os.getpid(), "host": platform.node()}))
        yield
    finally:
        lock.release()
