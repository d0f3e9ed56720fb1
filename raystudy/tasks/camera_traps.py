"""Animals before cameras in the wild."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from raystudy.kinds import Examples, Size, TaskOnDisk
from raystudy.tasks import names
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
    *("badger", "bird", "bobcat", "car", "cat", "coyote", "deer", "dog", "fox", "opossum"),
    *("rabbit", "raccoon", "rodent", "skunk", "squirrel"),
)
EMPTY = "empty"
TEMPLATES = (
    "a photo of a {}.",
    "a camera trap photo of a {}.",
    "a {} in the wild.",
    "a night photo of a {}.",
)
IMAGES, LISTS = "eccv_18_all_images_sm", "eccv_18_annotation_files"


class CameraTraps(TaskOnDisk):
    """CCT-20: what twenty cameras in the American south-west saw, at ten places for training.

    Layout, of the two unpacked archives::

        eccv_18_all_images_sm/<image id>.jpg
        eccv_18_annotation_files/train_annotations.json, cis_val_annotations.json,
            cis_test_annotations.json, trans_val_annotations.json, trans_test_annotations.json

    Splits: official, in COCO's format. ``places`` says where validation and test images come from:
    ``cis``, the ten places of training on other days; ``trans``, ten others. Left out are images
    labelled ``empty``, of which training has none, images of two kinds of animals, and validation
    images of a sequence of which training holds images, too.
    Sizes: the published ones, before what is left out; not checked against the data set. Entezari
    et al. (2023) test on 15,215 images of 15 classes, which is near ``cis`` without ``empty``.
    Place: LILA: Caltech Camera Traps, the ECCV 2018 benchmark (CCT-20).
    Paper: Beery et al., Recognition in Terra Incognita, ECCV 2018, arXiv 1807.04975.
    Terms: Community Data License Agreement, permissive variant.
    """

    VERSION: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = NAMES
    places: Literal["cis", "trans"]

    @property
    def name(self) -> str:
        return f"camera-traps-{self.places}"

    @property
    def size(self) -> Size:
        if self.places == "cis":
            return Size(train=13_553, validation=3_484, test=15_827)
        return Size(train=13_553, validation=1_725, test=23_275)

    def missing(self, root: Path) -> Sequence[str]:
        if lines := lacking(root, *self._lists, IMAGES):
            return lines
        return absent(root, _read(root, self.places).paths, f"{LISTS}/*.json")

    def files(self, root: Path) -> Sequence[str]:
        return [*self._lists, *_read(root, self.places).paths]

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
    def _lists(self) -> list[str]:
        splits = ("train", f"{self.places}_val", f"{self.places}_test")
        return [_list(split) for split in splits]

    @property
    def _splits(self) -> Splits:
        return remembered(_read, self.path, self.places)


class _Seen(NamedTuple):
    id: str
    label: int
    sequence: str


def _read(root: Path, places: str) -> Splits:
    train, validation, test = (
        _annotated(root / _list(split)) for split in ("train", f"{places}_val", f"{places}_test")
    )
    learnt = {image.sequence for image in train}
    apart = [image for image in validation if image.sequence not in learnt]
    return Splits(_listing(train), _listing(apart), _listing(test))


def _listing(images: Sequence[_Seen]) -> Listing:
    return Listing.of((i.id, f"{IMAGES}/{i.id}.jpg", i.label) for i in images)


def _annotated(file: Path) -> list[_Seen]:
    """Images with one kind of animal, or cars, in the order of the file. Raises ValueError."""
    labels = {name: label for label, name in enumerate(NAMES)}
    try:
        about: Mapping[str, Any] = json.loads(read_text(file))
        kinds = {c["id"]: str(c["name"]) for c in about["categories"]}
        shown: defaultdict[str, set[str]] = defaultdict(set)
        for annotation in about["annotations"]:
            shown[str(annotation["image_id"])].add(kinds[annotation["category_id"]])
        sequences = {str(i["id"]): str(i.get("seq_id", i["id"])) for i in about["images"]}
    except (KeyError, TypeError, AttributeError, RecursionError, ValueError) as error:
        raise ValueError(f"{file}: not annotations in COCO's format ({error!r})") from None
    return [
        _Seen(inside(id, file), label_of(labels, next(iter(shown[id])), file), sequence)
        for id, sequence in sequences.items()
        if len(shown[id]) == 1 and EMPTY not in shown[id]
    ]


def _list(split: str) -> str:
    return f"{LISTS}/{split}_annotations.json"
