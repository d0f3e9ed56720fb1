"""Plan: expand a study into deduplicated stages, look up what is done, estimate the rest.

Nothing runs here and nothing heavy is imported.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import polars as pl

from raystudy.key import difference
from raystudy.kinds import Noise, Rendered, Source
from raystudy.ledger import Ledger
from raystudy.spec import FULL, Cell, Initialisation, Pretraining, Study
from raystudy.stages.index import leaves
from raystudy.store import Store

DEFAULT_SAMPLES_PER_S = 1_500.0
"""Views a second of a small backbone on one core, until the store has measured rates."""
DEFAULT_SECONDS_PER_CELL = {"features": 0.3, "images": 5.0}
FEATURES_SECONDS = 2.0


@dataclass(frozen=True)
class Plan:
    """All of a study's work, and what is missing of it."""

    study: Study
    cells: list[Cell]
    missing_cells: list[Cell]
    pretrainings: list[Pretraining]
    missing_pretrainings: list[Pretraining]
    sources: list[Source]
    missing_sources: list[Rendered]
    """To be rendered; data sets on disk are indexed before there is a plan."""
    estimated_s: dict[str, float]
    """Seconds of one core for what is missing, by stage."""
    calibrated: bool
    """Whether the estimate rests on rates measured in this store."""

    @property
    def num_requested(self) -> int:
        """Cells before those asked for twice were merged."""
        return sum(1 for grid in self.study.grids for _ in grid.cells())


def plan(study: Study, store: Store) -> Plan:
    """Raises ValueError or FileNotFoundError, in one clear line, for what can never run."""
    cells = study.cells()
    check(cells)
    done = Ledger(store).cells()
    missing_cells = [c for c in cells if c.key not in done]
    pretrainings = _pretrainings(cells)
    finished = store.done_keys("pretrainings")
    needed = {c.backbone.key for c in missing_cells}
    missing = [p for p in pretrainings if p.key not in finished and p.key in needed]
    # Longest first: a long run that starts last is what everyone waits for.
    missing.sort(key=lambda p: -p.samples_seen * p.method.num_views)
    sources = {s.key: s for p in pretrainings for s in leaves(p.source)}
    rendered = store.done_keys("sources")
    missing_sources = {
        s.key: s
        for p in missing
        for s in leaves(p.source)
        if isinstance(s, Rendered) and s.key not in rendered
    }
    estimated_s, calibrated = _estimate(missing, missing_cells, pretrainings, store)
    return Plan(
        study=study,
        cells=cells,
        missing_cells=missing_cells,
        pretrainings=pretrainings,
        missing_pretrainings=missing,
        sources=list(sources.values()),
        missing_sources=list(missing_sources.values()),
        estimated_s=estimated_s,
        calibrated=calibrated,
    )


def check(cells: Iterable[Cell]) -> None:
    """Everything that can be known to be wrong before any work starts."""
    sources: dict[str, Source] = {}
    noises: dict[str, Noise] = {}
    tasks: dict[str, Any] = {}
    largest: dict[str, int] = {}
    looks: dict[tuple[Any, ...], Cell] = {}
    asked: set[tuple[str, int]] = set()
    for cell in cells:
        if isinstance(cell.backbone, Pretraining):
            if cell.backbone.noise:
                noises[cell.backbone.noise.key] = cell.backbone.noise
            source = sources[cell.backbone.source.key] = cell.backbone.source
            largest[source.key] = max(largest.get(source.key, 0), cell.backbone.size)
        tasks[cell.task.key] = cell.task
        if cell.shots is not None and cell.shots != FULL:
            asked.add((cell.task.key, cell.shots))
        twin = looks.setdefault(tuple(cell.axes().values()), cell)
        if twin.key != cell.key:
            fields = "; ".join(difference(twin.describe(), cell.describe()))
            raise ValueError(
                f"two cells of {cell.adaptation.name} on {cell.task.name} look the same in every "
                f"table but differ in {fields}; ask for them in two studies"
            )
    for part in (*sources.values(), *noises.values(), *tasks.values()):
        part.check()
    for key, size in largest.items():
        known = sources[key].known_size()
        if known is not None and size > known:
            raise ValueError(
                f"Pretraining.size={size:,}: source '{sources[key].name}' has only {known:,} "
                "examples; ask for at most that, or for a larger source"
            )
    for key, shots in sorted(asked):
        counts = tasks[key].num_train()
        if shots > min(counts):
            name = tasks[key].class_names[list(counts).index(min(counts))]
            raise ValueError(
                f"Grid.shots={shots}: class '{name}' of task '{tasks[key].name}' has only "
                f'{min(counts)} training examples; ask for at most that, or for "full"'
            )


def _pretrainings(cells: Iterable[Cell]) -> list[Pretraining]:
    found: dict[str, Pretraining] = {}
    for cell in cells:
        if not isinstance(cell.backbone, Initialisation):
            found[cell.backbone.key] = cell.backbone
    return list(found.values())


def _estimate(
    missing: list[Pretraining], cells: list[Cell], pretrainings: list[Pretraining], store: Store
) -> tuple[dict[str, float], bool]:
    rates = _measured_rates(pretrainings, store)

    def seconds(p: Pretraining) -> float:
        default = DEFAULT_SAMPLES_PER_S / p.method.num_views
        return p.samples_seen / rates.get((p.method.key, p.architecture.key), default)

    per_cell = _measured_cells(store)
    adapt = sum(
        per_cell.get(c.adaptation.name, DEFAULT_SECONDS_PER_CELL[c.adaptation.inputs])
        for c in cells
    )
    extracted = {(c.backbone.key, c.task.key) for c in cells if c.adaptation.inputs == "features"}
    estimate = {
        "pretrain": sum(map(seconds, missing)),
        "extract": len(extracted) * FEATURES_SECONDS,
        "adapt": adapt,
    }
    return estimate, bool(rates)


def _measured_rates(pretrainings: list[Pretraining], store: Store) -> dict[tuple[str, str], float]:
    """Samples a second by method and architecture, of the runs already in the store."""
    finished = store.done_keys("pretrainings")
    totals: dict[tuple[str, str], list[float]] = {}
    for p in pretrainings:
        if p.key in finished:
            facts = store.provenance("pretrainings", p.key)
            total = totals.setdefault((p.method.key, p.architecture.key), [0.0, 0.0])
            total[0] += facts["samples_seen"]
            total[1] += facts["spent_s"]
    return {k: seen / spent for k, (seen, spent) in totals.items() if spent > 0}


def _measured_cells(store: Store) -> dict[str, float]:
    records = Ledger(store).read()
    if records.is_empty():
        return {}
    means = records.unique("cell").group_by("adaptation").agg(pl.col("seconds").mean()).iter_rows()
    return dict(means)
