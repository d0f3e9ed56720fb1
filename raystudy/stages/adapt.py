"""Adapt and evaluate: all cells of one backbone × task × adaptation together.

A ``Unit`` is what a scheduler places: its cells share features (or a backbone), differ in shots.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from safetensors.numpy import load_file, save_file

from raystudy.kinds import Examples
from raystudy.ledger import Ledger
from raystudy.spec import FULL, Backbone, Cell
from raystudy.stages.evaluate import Fitted, evaluate
from raystudy.stages.extract import Features, StoredEncoder, extract
from raystudy.store import Store
from raystudy.subset import few_shot


@dataclass(frozen=True)
class Unit:
    """Cells of one backbone and task whose adaptations read the same inputs."""

    cells: tuple[Cell, ...]

    @property
    def key(self) -> str:
        return self.cells[0].key

    @property
    def title(self) -> str:
        cell = self.cells[0]
        axes = " ".join(str(v) for v in cell.backbone.axes().values())
        return f"{cell.adaptation.name} on {cell.task.name}, {axes}, seed {cell.seed}"


def units(cells: Iterable[Cell]) -> list[Unit]:
    """One unit for all cells that share features, one for each fine-tuned backbone × task."""

    def place(cell: Cell) -> tuple[str, str, str]:
        trained = "" if cell.adaptation.inputs == "features" else cell.adaptation.key
        return cell.backbone.key, cell.task.key, trained

    return [Unit(tuple(group)) for _, group in groupby(sorted(cells, key=place), key=place)]


def adapt(unit: Unit, store: Store) -> None:
    """Compute every cell of ``unit`` and append it to the ledger.

    Adaptations receive training and validation examples only; the test split is opened afterwards,
    inside ``evaluate``. Raises RuntimeError naming the cells that failed, when the rest is done.
    """
    backbone, task = unit.cells[0].backbone, unit.cells[0].task
    encoder = StoredEncoder(backbone, store)
    images = unit.cells[0].adaptation.inputs == "images"
    if images:
        train, validation = task.train(), task.validation()
    else:
        train, validation = open_features(encoder, backbone, unit, store)
    prompts = task.prompts()

    fitted, errors = [], []
    for cell in unit.cells:
        started = time.perf_counter()
        shots = None if cell.shots in (FULL, None) else int(cell.shots)
        support = train.take(few_shot(train.ids, train.labels, shots, task.name, cell.seed))
        try:
            adapted = cell.adaptation.adapt(support, validation, encoder, prompts, cell.seed)
        except Exception as error:  # the other cells of the unit are none the worse
            errors.append(f"{cell.adaptation.name} at {cell.shots} shots: {error}")
            continue
        num_train = len(support) if cell.adaptation.uses_shots else 0
        fitted.append(Fitted(cell, adapted, num_train, time.perf_counter() - started))

    # Only now, when nothing is left to choose, is the test split opened.
    if fitted:
        records, predictions = evaluate(fitted, validation, encoder, store)
        Ledger(store).append(records, predictions)
    if errors:
        raise RuntimeError("; ".join(errors))


def open_features(
    encoder: StoredEncoder, backbone: Backbone, unit: Unit, store: Store
) -> tuple[Examples, Examples]:
    """Features of the training and validation split, extracted once and kept."""
    task = unit.cells[0].task
    spec = Features(backbone=backbone, task=task)
    if not store.done("features", spec.key):
        with store.writing("features", spec) as (folder, facts):
            opened = {"train": task.train(), "validation": task.validation()}
            arrays = {name: extract(encoder, e).inputs for name, e in opened.items()}
            save_file(arrays, folder / "features.safetensors")
            facts["num_features"] = arrays["train"].shape[1]
    arrays = load_file(store.local("features", spec.key) / "features.safetensors")
    train, validation = task.train(), task.validation()
    return (
        Examples(train.ids, arrays["train"], train.labels),
        Examples(validation.ids, arrays["validation"], validation.labels),
    )
