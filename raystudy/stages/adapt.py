"""Adapt and evaluate: all cells of one backbone × task × kind of input together.

A ``Unit`` is what a scheduler places: its cells share features (or a backbone), differ in
adaptation, shots and seed.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from raystudy import seal
from raystudy.claim import claimed
from raystudy.failures import note_failure
from raystudy.kinds import Adaptation, Adapted, Examples, Probe, Support
from raystudy.ledger import Ledger
from raystudy.spec import FULL, Backbone, Cell
from raystudy.stages.evaluate import Fitted, chosen_on_test, evaluate
from raystudy.stages.extract import StoredEncoder, features, whole
from raystudy.stages.left_out import adapt_by_left_out_domains
from raystudy.store import Store
from raystudy.subset import few_shot

log = logging.getLogger(__name__)


class CellsFailedError(RuntimeError):
    """Some cells of a unit failed, and the store says why; the others are in the ledger."""


@dataclass(frozen=True)
class Unit:
    """Cells of one backbone and task whose adaptations read the same inputs."""

    cells: tuple[Cell, ...]

    @property
    def key(self) -> str:
        return self.cells[0].key

    @property
    def backbone(self) -> Backbone:
        return self.cells[0].backbone

    @property
    def keys(self) -> set[str]:
        return {cell.key for cell in self.cells}

    @property
    def title(self) -> str:
        cell = self.cells[0]
        names = ", ".join(dict.fromkeys(c.adaptation.name for c in self.cells))
        axes = " ".join(str(v) for v in cell.backbone.axes().values())
        return f"{names} on {cell.task.name}, {axes}, seed {cell.seed}"


def units(cells: Iterable[Cell]) -> list[Unit]:
    """One unit for all cells that share features, one for each fine-tuned backbone × task; of text,
    which is in memory as it is, one for each amount of it: they share nothing, and may take long.
    """

    def place(cell: Cell) -> tuple[str, str, str]:
        match cell.adaptation.inputs:
            case "features":
                apart = ""
            case "images":
                apart = cell.adaptation.key
            case "tokens":
                apart = f"{cell.adaptation.key}/{cell.shots}"
        return cell.backbone.key, cell.task.key, apart

    return [Unit(tuple(group)) for _, group in groupby(sorted(cells, key=place), key=place)]


def adapt(unit: Unit, store: Store) -> None:
    """Compute every cell of ``unit`` and append it to the ledger.

    Adaptations receive training and validation examples only; the test split is opened afterwards,
    inside ``evaluate``. Raises CellsFailedError naming the cells that failed, when the rest is
    done.
    """
    with claimed(store, unit.key):
        # Another driver of the same store may have been here in the meantime.
        done = Ledger(store).finished(unit.keys)
        cells = [cell for cell in unit.cells if cell.key not in done]
        if not cells:
            return
        encoder = StoredEncoder(unit.backbone, store)
        fitted, errors = [], []
        for adaptation, train, validation, those in _problems(cells, encoder, store):
            supports = [_support(cell, train, validation) for cell in those]
            for cell, support, outcome, seconds in _solve(
                adaptation,
                train,
                _choose_on(those, validation, encoder, store),
                those,
                supports,
                encoder,
            ):
                if isinstance(outcome, Exception):
                    errors.append(f"{adaptation.name} at {cell.shots} shots: {outcome}")
                    note_failure(store, cell, outcome)
                    continue
                num_train = len(support.train) if adaptation.uses_shots else 0
                fitted.append(Fitted(cell, outcome, num_train, validation, seconds))

        # Only now, when nothing is left to choose, is the test split opened.
        if fitted:
            records, predictions = evaluate(fitted, encoder, store)
            Ledger(store).append(records, predictions)
    if errors:
        raise CellsFailedError("; ".join(errors))


def _problems(
    cells: Sequence[Cell], encoder: StoredEncoder, store: Store
) -> Iterator[tuple[Adaptation, Examples, Examples, list[Cell]]]:
    """The cells of each adaptation, with the training and validation examples as it reads them."""
    task = cells[0].task
    splits = {"train": task.train, "validation": task.validation}
    opened: dict[int | None, dict[str, Examples]]
    if cells[0].adaptation.inputs != "features":
        opened = {None: {name: whole(split(), encoder) for name, split in splits.items()}}
    else:
        layers = list({cell.adaptation.taps: None for cell in cells})
        opened = features(encoder, splits, layers, "features", task, store)
    of_adaptation: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        of_adaptation.setdefault((cell.adaptation.key, cell.selection), []).append(cell)
    for those in of_adaptation.values():
        adaptation = those[0].adaptation
        seen = opened[adaptation.taps]
        yield adaptation, seen["train"], seen["validation"], those


def _support(cell: Cell, train: Examples, validation: Examples) -> Support:
    """The rows that a cell may learn from, drawn by (task, shots, seed) alone."""
    shots = None if cell.shots in (FULL, None) else int(cell.shots)
    name = cell.task.name
    rows = few_shot(train.ids, train.labels, shots, name, cell.seed)
    held_out = np.arange(len(validation))
    if cell.selection != "test" and cell.validation == "few-shot" and shots is not None:
        held_out = few_shot(
            validation.ids, validation.labels, shots, f"{name}/validation", cell.seed, at_most=True
        )
    return Support(rows, held_out, cell.seed)


def _choose_on(
    cells: Sequence[Cell], validation: Examples, encoder: StoredEncoder, store: Store
) -> Examples:
    cell = cells[0]
    if cell.selection != "test":
        return validation
    log.warning(
        "%s on %s: chosen on the test split, as asked", cell.adaptation.name, cell.task.name
    )
    return chosen_on_test(cell.task, cell.adaptation, cells, encoder, store)


def _solve(
    adaptation: Adaptation,
    train: Examples,
    validation: Examples,
    cells: Sequence[Cell],
    supports: Sequence[Support],
    encoder: StoredEncoder,
) -> Iterator[tuple[Cell, Support, Adapted | Exception | None, float]]:
    """What comes of each cell, and the seconds it took: of probes, all of them together."""
    prompts = cells[0].task.prompts()
    if cells[0].selection == "test":  # all of it, whatever the shots
        every = np.arange(len(validation))
        supports = [Support(s.train, every, s.seed) for s in supports]
    by_domain = cells[0].selection == "domains"
    if isinstance(adaptation, Probe) and len(cells) > 1 and not by_domain:
        started = time.perf_counter()
        try:
            with seal.locked():
                found = adaptation.adapt_all(train, validation, supports, encoder, prompts)
        except Exception as error:  # one by one, so that only those fail that must
            log.info("%s, %d cells together: %s", adaptation.name, len(cells), error)
        else:
            seconds = (time.perf_counter() - started) / len(cells)
            for cell, support, adapted in zip(cells, supports, found, strict=True):
                yield cell, support, adapted, seconds
            return
    for cell, support in zip(cells, supports, strict=True):
        started = time.perf_counter()
        try:
            own = train.take(support.train), validation.take(support.validation)
            with seal.locked():
                if by_domain:
                    domain_of = cell.task.domain_of
                    outcome = adapt_by_left_out_domains(
                        adaptation, *own, domain_of, encoder, prompts, cell.seed
                    )
                else:
                    outcome = adaptation.adapt(*own, encoder, prompts, cell.seed)
        except Exception as error:  # the other cells of the unit are none the worse
            outcome = error
        yield cell, support, outcome, time.perf_counter() - started
