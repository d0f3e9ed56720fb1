"""What a data set's own lists say of it: which image files there are, and their labels.

Nothing here reads an image before somebody asks for it.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raystudy.kinds import Examples, Images, Integers
from raystudy.shards.probe import MAX_IMAGE_BYTES

MAX_LIST_BYTES = 256 << 20
"""Of a list or table; the largest, DomainNet's, has 8 MB."""
NUM_NAMED = 3
"""Files that are named of all that are missing."""


class Files(Images):
    """Image files below a folder, decoded as torchvision's default loader does: to RGB, without
    looking at EXIF's orientation."""

    def __init__(self, root: Path, paths: Sequence[str]) -> None:
        self._root = root
        self._paths = tuple(paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, rows: Integers) -> Files:
        return Files(self._root, [self._paths[int(i)] for i in rows])

    def read(self, row: int) -> NDArray[np.uint8]:
        from raystudy.shards.image import BadImage, decode_whole  # decoders: not for a plan

        file = self._root / self._paths[row]
        if (size := file.stat().st_size) > MAX_IMAGE_BYTES:
            raise BadImage(f"{file}: {size:,} bytes are no image of a data set")
        try:
            return decode_whole(file.read_bytes())
        except BadImage as error:
            raise BadImage(f"{file}: {error}") from error


@dataclass(frozen=True)
class Listing:
    """Ids, paths below the data set's folder, and labels (N,) of some of its images, in one
    order."""

    ids: tuple[str, ...]
    paths: tuple[str, ...]
    labels: Integers

    @staticmethod
    def of(found: Iterable[tuple[str, str, int]]) -> Listing:
        """From (id, path, label)."""
        rows = list(found)
        labels = np.array([label for _, _, label in rows], np.int64)
        return Listing(tuple(r[0] for r in rows), tuple(r[1] for r in rows), labels)

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Integers) -> Listing:
        return Listing(
            tuple(self.ids[int(i)] for i in rows),
            tuple(self.paths[int(i)] for i in rows),
            self.labels[rows],
        )

    def counts(self, num_classes: int) -> tuple[int, ...]:
        """Of each class."""
        return tuple(np.bincount(self.labels, minlength=num_classes).tolist())

    def examples(self, root: str | Path) -> Examples:
        return Examples(self.ids, Files(Path(root), self.paths), self.labels)


@dataclass(frozen=True)
class Splits:
    """What a task's examples are divided into. Raises ValueError for an id that comes twice."""

    train: Listing
    validation: Listing
    test: Listing

    def __post_init__(self) -> None:
        uses = Counter(id for part in self.parts for id in part.ids)
        if twice := [id for id, n in uses.items() if n > 1]:
            raise ValueError(
                f"'{twice[0]}' is listed twice, within a split or in two "
                f"({len(twice):,} such); unpack the data set's lists again"
            )

    @property
    def parts(self) -> tuple[Listing, Listing, Listing]:
        return self.train, self.validation, self.test

    @property
    def paths(self) -> list[str]:
        return [path for part in self.parts for path in part.paths]


@lru_cache(maxsize=8)
def remembered(read: Callable[..., Any], path: str, *settings: Any) -> Any:
    """``read(Path(path), *settings)``, once in a process; not kept in a spec, which travels."""
    return read(Path(path), *settings)


def read_lines(file: Path) -> list[str]:
    """Those that are not empty. Raises OSError, and ValueError if it is no text."""
    return [line for line in read_text(file).splitlines() if line.strip()]


def read_text(file: Path) -> str:
    """Raises OSError, and ValueError if it is no text or too large to be a list."""
    if file.stat().st_size > MAX_LIST_BYTES:
        raise ValueError(f"{file}: over {MAX_LIST_BYTES:,} bytes; this is no list of images")
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: not a text file ({error})") from None


def label_of(labels: Mapping[str, int], name: str, where: Path | str) -> int:
    """Raises ValueError for a name that the data set has not."""
    if name not in labels:
        raise ValueError(f"{where}: '{name}' is no class of this data set")
    return labels[name]


def inside(path: str, where: Path | str) -> str:
    """``path`` as a list gives it. Raises ValueError for one that leads out of the data set."""
    if path.startswith("/") or ".." in path.split("/") or "\\" in path:
        raise ValueError(f"{where}: '{path}' leads out of the data set's folder")
    return path


def class_folders(
    root: Path, folder: str, labels: Mapping[str, int], others: bool = False
) -> Listing:
    """All images of ``folder``/<class>/, in the order of their paths. An image's id is its path
    below ``folder``. Raises ValueError for a folder that is no class, unless there may be
    ``others``, which are not read."""
    found = []
    for name in sorted(_folders(root / folder)):
        if others and name not in labels:
            continue
        label = label_of(labels, name, root / folder)
        with os.scandir(root / folder / name) as entries:
            files = sorted(e.name for e in entries if _is_image(e.name))
        path = f"{folder}/{name}" if folder else name
        found += [(f"{name}/{file}", f"{path}/{file}", label) for file in files]
    return Listing.of(found)


def lacking(root: Path, *names: str, hint: str = "") -> list[str]:
    """A line for each file or folder of ``names`` that is not below ``root``."""
    lines = [f"no {name} below {root}" for name in names if not (root / name).exists()]
    if lines:
        lines[0] += _elsewhere(root, names[0]) or (f"; {hint}" if hint else "")
    return lines


def absent(root: Path, paths: Iterable[str], listed_in: str) -> list[str]:
    """One line for all of ``paths`` that are not there, though ``listed_in`` names them. Each
    folder is listed once, which is faster by far than to ask for each file."""
    by_folder: defaultdict[str, set[str]] = defaultdict(set)
    for path in paths:
        folder, _, name = path.rpartition("/")
        by_folder[folder].add(name)
    gone = []
    for folder, names in by_folder.items():
        try:
            there = set(os.listdir(root / folder))
        except OSError:
            there = set()
        gone += [f"{folder}/{name}".lstrip("/") for name in sorted(names - there)]
    if not gone:
        return []
    more = f" and {len(gone) - NUM_NAMED:,} more" if len(gone) > NUM_NAMED else ""
    return [
        f"not below {root}: {len(gone):,} of the images that {listed_in} names "
        f"({', '.join(gone[:NUM_NAMED])}{more}); unpack the images again"
    ]


def _elsewhere(root: Path, name: str) -> str:
    """Where the data set lies, if it was looked for a folder too high or too low."""
    if root.is_dir():
        for near in (root.parent, *(f for g in ("*", "*/*") for f in sorted(root.glob(g)))):
            if (near / name).exists():
                return f"; it is in {near}: give that folder"
    return ""


def _folders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [e.name for e in entries if e.is_dir() and not e.name.startswith(".")]


def _is_image(name: str) -> bool:
    return name.lower().endswith((".jpg", ".jpeg", ".png")) and not name.startswith(".")
