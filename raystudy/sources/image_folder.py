"""A folder of images for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import pyarrow as pa

from raystudy.kinds import OnDisk
from raystudy.shards.root import Root
from raystudy.shards.table import replaced


class ImageFolder(OnDisk):
    """A folder for each class, its name the class's, as torchvision's ImageFolder::

        cat/001.jpg …            or            train/cat/001.jpg …
        dog/001.jpg …                          train/dog/001.jpg …

    Labels count the folders by name. Where there is a folder ``train`` of folders, that is read.
    """

    VERSION: ClassVar[int] = 1

    @property
    def name(self) -> str:
        return self.label or Root(self.path).name

    def missing(self, root: Root) -> Sequence[str]:
        if self.shards(root):
            return ()
        return [f"no folder of images below {root.url}; give the one that holds a folder a class"]

    def shards(self, root: Root) -> Sequence[str]:
        return root.folders("train") or root.folders()

    def metadata(self, root: Root) -> Mapping[str, int]:
        """Folder → label."""
        return {folder: label for label, folder in enumerate(self.shards(root))}

    def annotate(self, rows: pa.Table, metadata: Mapping[str, int]) -> pa.Table:
        depth = 2 if any("/" in folder for folder in metadata) else 1
        paths = [path.split("/") for path in rows["path"].to_pylist()]
        labels = [metadata["/".join(path[:depth])] for path in paths]
        ids = [id.split("/", depth - 1)[-1] for id in rows["id"].to_pylist()]
        return replaced(replaced(rows, "label", labels), "id", ids)

    def class_names(self, root: Root) -> tuple[str, ...]:
        return tuple(folder.rpartition("/")[2] for folder in self.shards(root))
