"""Other test sets for ImageNet's classes, each in its official layout.

Their labels are places among their own classes, each of which stands for one class of ImageNet or,
in ObjectNet, for several.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from raystudy.kinds import Examples, Images, Integers
from raystudy.tasks import imagenet_names
from raystudy.tasks.listing import Listing, class_folders, inside, lacking, read_lines, read_text

Other = Literal["v2", "r", "a", "sketch", "objectnet"]
Groups = tuple[tuple[int, ...], ...]
BORDER = 2
"""Pixels at each side of ObjectNet's images that are cut off: they are marked by a red line, so
that nobody trains on them."""
MAPPINGS = tuple(
    f"mappings/{name}"
    for name in (
        "folder_to_objectnet_label.json",
        "objectnet_to_imagenet_1k.json",
        "pytorch_to_imagenet_2012_id.json",
        "imagenet_to_label_2012_v2",
    )
)


@dataclass(frozen=True)
class Shift:
    """Its images, and for each of its classes those of ImageNet that count as it."""

    listing: Listing
    groups: Groups

    @property
    def other_classes(self) -> Groups | None:
        """None where they are ImageNet's own."""
        whole = tuple((label,) for label in range(len(imagenet_names.wnids())))
        return None if self.groups == whole else self.groups


class Bordered(Images):
    """Images without their outermost pixels."""

    def __init__(self, images: Images) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, rows: Integers) -> Bordered:
        return Bordered(self._images[rows])

    def read(self, row: int) -> NDArray[np.uint8]:
        return self._images.read(row)[BORDER:-BORDER, BORDER:-BORDER]


def missing(other: Other, root: Path) -> Sequence[str]:
    if other == "objectnet":
        return lacking(root, "images", *MAPPINGS)
    if not root.is_dir():
        return [f"no folder {root}"]
    if not any(_folders_of(other, root)):
        what = "0 … 999" if other == "v2" else "wnids (n01440764 …)"
        return [f"no folder of {what} in {root}"]
    return []


def files(other: Other, root: Path) -> Sequence[str]:
    """Paths below ``root`` of what is read."""
    return [*(MAPPINGS if other == "objectnet" else ()), *read(other, root).listing.paths]


def examples(other: Other, root: str, shift: Shift) -> Examples:
    found = shift.listing.examples(root)
    if other == "objectnet" and isinstance(found.inputs, Images):
        return Examples(found.ids, Bordered(found.inputs), found.labels)
    return found


def read(other: Other, root: Path) -> Shift:
    """Raises OSError, and ValueError for a mapping that is malformed."""
    folder = "images" if other == "objectnet" else ""
    of_folder = _READERS[other](root)
    places = {name: place for place, name in enumerate(of_folder)}
    found = class_folders(root, folder, places, others=True)
    return Shift(found, tuple(of_folder.values()))


def _by_wnid(root: Path) -> dict[str, tuple[int, ...]]:
    labels = imagenet_names.labels()
    return {name: (labels[name],) for name in sorted(_folders_of("r", root))}


def _by_number(root: Path) -> dict[str, tuple[int, ...]]:
    return {name: (int(name),) for name in sorted(_folders_of("v2", root), key=int)}


def _by_mapping(root: Path) -> dict[str, tuple[int, ...]]:
    """Those of ObjectNet's folders that ImageNet has a class for, as its own mappings say."""
    of_folder, of_label, of_class = (_json(root / name) for name in MAPPINGS[:3])
    file = root / MAPPINGS[3]
    lines = [line.strip() for line in read_lines(file)]
    try:
        label_of = {lines[int(line)]: int(label) for label, line in of_class.items()}
        return {
            inside(folder, root / MAPPINGS[0]): tuple(
                label_of[words] for words in of_label[said].split("; ")
            )
            for folder, said in sorted(of_folder.items())
            if said in of_label
        }
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise ValueError(f"{root / 'mappings'}: not ObjectNet's mappings ({error!r})") from None


_READERS: Mapping[Other, Callable[[Path], dict[str, tuple[int, ...]]]] = {
    "v2": _by_number,
    "r": _by_wnid,
    "a": _by_wnid,
    "sketch": _by_wnid,
    "objectnet": _by_mapping,
}


def _folders_of(other: Other, root: Path) -> list[str]:
    """Those whose names are classes of ImageNet."""
    known = imagenet_names.labels()
    is_class = (
        (lambda name: name.isdecimal() and str(int(name)) == name and int(name) < len(known))
        if other == "v2"
        else known.__contains__
    )
    return [path.name for path in root.iterdir() if path.is_dir() and is_class(path.name)]


def _json(file: Path) -> dict[str, str]:
    try:
        found = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: not JSON ({error})") from None
    if not isinstance(found, dict):
        raise ValueError(f"{file}: not a table of names")
    return found
