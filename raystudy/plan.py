"""Plan: expand a study into deduplicated stages, look up what is done.

Nothing runs here and nothing heavy is imported.
"""

import logging
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Any

from raystudy.failures import failures
from raystudy.imports import Read, read_all
from raystudy.key import difference
from raystudy.kinds import Method, Noise, Rendered, Source, Task
from raystudy.ledger import Ledger
from raystudy.skipped import skipped
from raystudy.spec import FULL, Cell, Pretraining, Published, Study, Trunk
from raystudy.stages.index import leaves
from raystudy.store import Store
from raystudy.trunks import in_order, own_samples, shared_trunks

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """All of a study's work, and what is missing of it."""

    study: Study
    cells: list[Cell]
    missing_cells: list[Cell]
    failed_cells: dict[str, str]
    """Key → why it failed, of those that are left alone for that."""
    pretrainings: list[Pretraining]
    missing_pretrainings: list[Pretraining]
    trunks: list[Trunk]
    """Beginnings that several pre-trainings share: those with which missing ones begin, and those
    of their families that are done."""
    missing_trunks: list[Trunk]
    sources: list[Source]
    missing_sources: list[Rendered]
    """To be rendered; data sets on disk are indexed before there is a plan."""
    imported: list[Read]
    """What others computed: nothing is left to do."""
    skipped_cells: dict[str, str] = field(default_factory=dict)
    """Key → why, of missing cells that a run left out because what they are for is decided."""

    @property
    def work(self) -> list[Pretraining]:
        """Missing pre-trainings and their trunks, in the order in which they are best started."""
        return in_order([*self.trunks, *self.missing_pretrainings])

    @property
    def samples_to_train(self) -> int:
        """Of what is missing, shared beginnings counted once."""
        missing = [*self.missing_trunks, *self.missing_pretrainings]
        return sum(own_samples(s, self.trunks) for s in missing)

    @property
    def num_requested(self) -> int:
        """Cells before those asked for twice were merged."""
        return sum(1 for grid in self.study.grids for _ in grid.cells())


def plan(
    study: Study, store: Store, *, retry_failed: bool = False, leave_out: Container[str] = ()
) -> Plan:
    """What is missing, but for the cells (by key) to ``leave_out``; with ``retry_failed`` what
    failed is, too.

    Raises ValueError or FileNotFoundError, in one clear line, for what can never run.
    """
    cells = study.cells()
    check(cells)
    done = Ledger(store).cells()
    missing_cells = [c for c in cells if c.key not in done and c.key not in leave_out]
    failed = {} if retry_failed else failures(store, (c.key for c in missing_cells))
    missing_cells = [c for c in missing_cells if c.key not in failed]
    pretrainings = _pretrainings(cells)
    finished = store.done_keys("pretrainings")
    needed = {c.backbone.key for c in missing_cells}
    missing = [p for p in pretrainings if p.key not in finished and p.key in needed]
    trunks, missing_trunks = _trunks(pretrainings, missing, store)
    sources = {s.key: s for p in pretrainings for s in leaves(p.source)}
    rendered = store.done_keys("sources")
    missing_sources = {
        s.key: s
        for p in missing
        for s in leaves(p.source)
        if isinstance(s, Rendered) and s.key not in rendered
    }
    return Plan(
        study=study,
        cells=cells,
        missing_cells=missing_cells,
        failed_cells=failed,
        pretrainings=pretrainings,
        missing_pretrainings=missing,
        trunks=trunks,
        missing_trunks=missing_trunks,
        sources=list(sources.values()),
        missing_sources=list(missing_sources.values()),
        skipped_cells=skipped(store, study.name, (c.key for c in missing_cells)),
        imported=read_all(study),
    )


def check(cells: Iterable[Cell]) -> None:
    """Everything that can be known to be wrong before any work starts.

    Raises ValueError or FileNotFoundError; warns of what can run and was hardly meant.
    """
    sources: dict[str, Source] = {}
    noises: dict[str, Noise] = {}
    methods: dict[str, Method] = {}
    tasks: dict[str, Any] = {}
    largest: dict[str, int] = {}
    looks: dict[tuple[Any, ...], Cell] = {}
    asked: set[tuple[str, int]] = set()
    tuned: dict[tuple[str, str], Cell] = {}
    pretrainings: dict[str, Pretraining] = {}
    for cell in cells:
        if isinstance(cell.backbone, Pretraining):
            pretrainings[cell.backbone.key] = cell.backbone
            methods[cell.backbone.method.key] = cell.backbone.method
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
        _same_examples(cell)
        _as_often_tuned(tuned.setdefault((cell.task.name, cell.adaptation.name), cell), cell)
        if cell.selection == "domains" and type(cell.task).domain_of is Task.domain_of:
            raise ValueError(
                f"Grid.selection='domains' leaves out domains of a task in turn, and "
                f"'{cell.task.name}' has none; select by validation"
            )
    for part in (*sources.values(), *methods.values(), *noises.values(), *tasks.values()):
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
    _warn_of_warmup(pretrainings.values())


def _same_examples(cell: Cell) -> None:
    """What is pre-trained on, what is read, and what is adapted to are examples of one kind."""
    task, adaptation, backbone = cell.task, cell.adaptation, cell.backbone
    network = None if isinstance(backbone, Published) else backbone.architecture
    reads = network.modality if network else "images"
    takes = "tokens" if adaptation.inputs == "tokens" else "images"
    if not reads == takes == task.modality:
        raise ValueError(
            f"{adaptation.name} takes {takes}, task '{task.name}' has {task.modality}, and "
            f"{backbone.axes()['architecture']} reads {reads}; ask for one kind in a grid"
        )
    if network and network.unit != task.unit:
        raise ValueError(f"{_counted('task', task)}, and {network.title} reads {network.unit[1]:,}")
    if isinstance(backbone, Pretraining) and backbone.source.unit != backbone.architecture.unit:
        raise ValueError(
            f"{_counted('source', backbone.source)}, and {backbone.architecture.title} reads "
            f"{backbone.architecture.unit[1]:,}"
        )


def _counted(what: str, one: Source | Task) -> str:
    name, count = one.unit
    return f"an example of {what} '{one.name}' holds {count:,} {name}"


def _as_often_tuned(one: Cell, other: Cell) -> None:
    """What is tuned more looks better, whatever it is."""
    if one.adaptation.key == other.adaptation.key:  # to list settings takes milliseconds
        return
    numbers = [len(cell.adaptation.configurations()) for cell in (one, other)]
    if numbers[0] != numbers[1]:
        arms = [
            f"{c.backbone.axes()['method']} {c.backbone.axes()['source']}" for c in (one, other)
        ]
        raise ValueError(
            f"{one.adaptation.name} on {one.task.name} chooses among {numbers[0]} configurations "
            f"for {arms[0]} and among {numbers[1]} for {arms[1]}; give every arm as many, or "
            "ask in two studies"
        )


def _warn_of_warmup(pretrainings: Iterable[Pretraining]) -> None:
    """A rate that never gets past its warm-up trains something, and hardly what was meant."""
    covered = [
        p for p in pretrainings if p.optimisation.num_warmup_steps(p.num_steps) >= p.num_steps
    ]
    if not covered:
        return
    worst = min(covered, key=lambda p: p.num_steps)
    more = f" (and {len(covered) - 1} more pre-trainings)" if len(covered) > 1 else ""
    log.warning(
        "a warm-up of %s steps covers all %s steps of %s on %s, size %s, seed %s%s; "
        "lower Optimisation.warmup_steps or give a longer Budget",
        f"{worst.optimisation.num_warmup_steps(worst.num_steps):,}",
        f"{worst.num_steps:,}",
        worst.method.name,
        worst.source.name,
        f"{worst.size:,}",
        worst.seed,
        more,
    )


def _trunks(
    pretrainings: list[Pretraining], missing: list[Pretraining], store: Store
) -> tuple[list[Trunk], list[Trunk]]:
    shared = shared_trunks(pretrainings)
    needed = {p.trunk.key for p in missing if p.trunk}
    families = {p.trunk.family for p in missing if p.trunk}
    done = store.done_keys(Trunk.room) if families else set()
    trunks = [t for t in shared if t.key in needed or (t.family in families and t.key in done)]
    return trunks, [t for t in trunks if t.key not in done]


def _pretrainings(cells: Iterable[Cell]) -> list[Pretraining]:
    found: dict[str, Pretraining] = {}
    for cell in cells:
        if isinstance(cell.backbone, Pretraining):
            found[cell.backbone.key] = cell.backbone
    return list(found.values())
