"""Tumours in lymph nodes, as five hospitals show them."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import ClassVar, Literal

from raystudy.kinds import Examples, Size, TaskOnDisk
from raystudy.tasks import names
from raystudy.tasks.domains import domain_of
from raystudy.tasks.listing import (
    Listing,
    Splits,
    absent,
    inside,
    lacking,
    read_text,
    remembered,
)

TABLE, PATCHES = "metadata.csv", "patches"
COLUMNS = ("patient", "node", "x_coord", "y_coord", "tumor", "center", "split")
TRAIN, VALIDATION = "0", "1"
"""In the column ``split``, of the hospitals that are learnt from."""
VALIDATION_HOSPITAL, TEST_HOSPITAL = "1", "2"
TEMPLATES = ("this is a photo of {}.", "a histopathology slide showing {}.")


class Camelyon17(TaskOnDisk):
    """Patches of slides with and without tumour: three hospitals are learnt from, a fourth is for
    testing.

    Layout, of the unpacked archive of WILDS, version 1.0, a folder ``camelyon17_v1.0``::

        metadata.csv                 a line: number, patient, node, x_coord, y_coord, tumor, slide,
                                     center, split
        patches/patient_004_node_4/patch_patient_004_node_4_x_3328_y_21792.png …

    Ids are the hospital and the file's name.
    Splits: WILDS' official ones. Hospitals 0, 3 and 4 are learnt from, hospital 2 is for testing;
    validation is ``id_val``, of the slides that are learnt from. Hospital 1, which WILDS calls
    ``val`` and on which its leaderboard chooses, is the shift ``validation-hospital``: so no
    choice is made on a distribution that training has not, and its predictions are kept for
    whoever chooses among models as WILDS does.
    Place: WILDS: Camelyon17, version 1.0.
    Paper: Koh et al., WILDS, ICML 2021, arXiv 2012.07421; Bandi et al., From Detection of
    Individual Metastases to Classification of Lymph Node Status at the Patient Level, IEEE TMI
    2019.
    Terms: CC0.
    """

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = (
        "lymph node",
        "lymph node containing metastatic tumor tissue",
    )
    in_distribution: ClassVar[Literal["test", "validation"]] = "validation"

    @property
    def name(self) -> str:
        return "camelyon17"

    @property
    def shifts(self) -> tuple[str, ...]:
        return ("validation-hospital",)

    @property
    def size(self) -> Size:
        return Size(train=302_436, validation=33_560, test=85_054)

    def missing(self, root: Path) -> Sequence[str]:
        if lines := lacking(root, TABLE, PATCHES):
            return lines
        return absent(root, self.files(root)[1:], TABLE)

    def files(self, root: Path) -> Sequence[str]:
        splits, hospital = _read(root)
        return [TABLE, *splits.paths, *hospital.paths]

    def num_train(self) -> Sequence[int]:
        return self._splits.train.counts(len(self.class_names))

    def train(self) -> Examples:
        return self._splits.train.examples(self.path)

    def validation(self) -> Examples:
        return self._splits.validation.examples(self.path)

    def _test(self, shift: str | None) -> Examples:
        splits, hospital = remembered(_read, self.path)
        return (hospital if shift else splits.test).examples(self.path)

    def prompts(self) -> Sequence[Sequence[str]]:
        return names.prompts(self.class_names, TEMPLATES)

    def domain_of(self, id: str) -> str:
        return domain_of(id)

    @property
    def _splits(self) -> Splits:
        return remembered(_read, self.path)[0]


def _read(root: Path) -> tuple[Splits, Listing]:
    """The splits, and the patches of the hospital that WILDS validates on."""
    file = root / TABLE
    found: defaultdict[str, list[tuple[str, str, int]]] = defaultdict(list)
    for row in csv.DictReader(StringIO(read_text(file))):
        patient, node, x, y, tumour, hospital, split = (row.get(name) or "" for name in COLUMNS)
        if tumour not in ("0", "1") or split not in (TRAIN, VALIDATION) or not hospital:
            raise ValueError(f"{file}: {dict(row)} is no patch of WILDS' version 1.0")
        slide = f"patient_{patient}_node_{node}"
        patch = inside(f"patch_{slide}_x_{x}_y_{y}.png", file)
        unseen = hospital in (VALIDATION_HOSPITAL, TEST_HOSPITAL)
        found[f"hospital {hospital}" if unseen else split].append(
            (f"hospital-{hospital}/{patch}", f"{PATCHES}/{slide}/{patch}", int(tumour))
        )
    parts = (TRAIN, VALIDATION, f"hospital {TEST_HOSPITAL}", f"hospital {VALIDATION_HOSPITAL}")
    train, validation, test, hospital = (Listing.of(found[part]) for part in parts)
    return Splits(train, validation, test), hospital
