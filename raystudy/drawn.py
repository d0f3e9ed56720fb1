"""A study's report: drawn from the ledger, unless the same one is drawn already."""

from __future__ import annotations

import json
import logging
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

import raystudy
from raystudy.annotate import annotated, with_pretraining_flops
from raystudy.imports import Read, in_order, keep, read_all
from raystudy.key import digest
from raystudy.laws.effective_data import EffectiveData
from raystudy.ledger import Ledger
from raystudy.public import public
from raystudy.skipped import skipped
from raystudy.spec import Pretraining, Study
from raystudy.stages.answers import answers
from raystudy.stages.promise import promises
from raystudy.store import Store
from raystudy.watcher import Watcher

log = logging.getLogger(__name__)


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


def published(page: Path, study: Study, store: Store) -> str:
    """Where the report can be found once this machine is gone."""
    if store.is_local:
        return str(page)
    store.copy_in(page.parent, "studies", study.name)
    return f"{public(store.url)}/studies/{study.name}/{page.name}"


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
