"""Diseases of cassava leaves."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from raystudy.kinds import Examples, Size, TaskOnDisk
from raystudy.tasks import names
from raystudy.tasks.carve import carved
from raystudy.tasks.listing import (
    Listing,
    Splits,
    absent,
    inside,
    label_of,
    lacking,
    read_text,
    remembered,
)

NAMES = (
    "cassava bacterial blight",
    "cassava brown streak disease",
    "cassava green mottle",
    "cassava mosaic disease",
    "healthy cassava",
)
TEMPLATES = (
    "a photo of {}.",
    "a photo of a cassava leaf with {}.",
    "a close up photo of a leaf: {}.",
)
TABLE, MAP, FOLDER = "train.csv", "label_num_to_disease_map.json", "train_images"
TEST_PERCENT, VALIDATION_PERCENT = 20, 10
"""Of all, and of what is left."""


class Cassava(TaskOnDisk):
    """Photographs of cassava plants from a survey in Uganda: four diseases, or none. Three of five
    have mosaic disease.

    Layout, of the unpacked archive of the competition::

        train.csv                          image_id,label
        label_num_to_disease_map.json      number → name; optional, without it Kaggle's order holds
        train_images/1000015157.jpg …

    Splits: Kaggle's test images have no public labels; a fifth of the others (4,280, as in Entezari
    et al. 2023, but other images) is for testing and a tenth of the rest for validation, of each
    class alike, by hash (``split_seed``).
    Place: Kaggle: Cassava Leaf Disease Classification, by Makerere University.
    Paper: Mwebaze et al., iCassava 2019, arXiv 1908.02900.
    Terms: the competition's rules.
    """

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = NAMES
    split_seed: int = 0

    @property
    def name(self) -> str:
        return "cassava"

    @property
    def size(self) -> Size:
        return Size(train=15_405, validation=1_712, test=4_280)

    def missing(self, root: Path) -> Sequence[str]:
        if lines := lacking(root, TABLE, FOLDER):
            return lines
        return absent(root, _read(root, self.split_seed).paths, TABLE)

    def files(self, root: Path) -> Sequence[str]:
        optional = [MAP] if (root / MAP).exists() else []
        return [TABLE, *optional, *_read(root, self.split_seed).paths]

    def num_train(self) -> Sequence[int]:
        return self._splits.train.counts(len(self.class_names))

    def train(self) -> Examples:
        return self._splits.train.examples(self.path)

    def validation(self) -> Examples:
        return self._splits.validation.examples(self.path)

    def _test(self, shift: str | None) -> Examples:
        return self._splits.test.examples(self.path)

    def prompts(self) -> Sequence[Sequence[str]]:
        return names.prompts(self.class_names, TEMPLATES)

    @property
    def _splits(self) -> Splits:
        return remembered(_read, self.path, self.split_seed)


def _read(root: Path, seed: int) -> Splits:
    table = root / TABLE
    labels = _labels(root)
    rows = csv.DictReader(io.StringIO(read_text(table)))
    if not {"image_id", "label"} <= set(rows.fieldnames or ()):
        raise ValueError(f"{table}: not Kaggle's table, which has columns image_id and label")
    everything = Listing.of(
        (
            row["image_id"],
            f"{FOLDER}/{inside(row['image_id'], table)}",
            label_of(labels, row["label"], table),
        )
        for row in rows
    )
    rest, test = carved(everything, TEST_PERCENT, "cassava/test", seed)
    train, validation = carved(rest, VALIDATION_PERCENT, "cassava/validation", seed)
    return Splits(train, validation, test)


def _labels(root: Path) -> dict[str, int]:
    """Kaggle's number → label."""
    file = root / MAP
    if not file.exists():
        return {str(label): label for label in range(len(NAMES))}
    try:
        given = json.loads(read_text(file))
        # "Cassava Bacterial Blight (CBB)"; and "Healthy", which here is a healthy what
        said = {number: name.partition(" (")[0].lower() for number, name in given.items()}
    except (ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"{file}: not Kaggle's map of numbers to names ({error!r})") from None
    known = {name: label for label, name in enumerate(NAMES)} | {"healthy": len(NAMES) - 1}
    return {number: label_of(known, name, file) for number, name in said.items()}
