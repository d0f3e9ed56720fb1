"""WebDataset shards that no other source knows by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import pyarrow as pa

from raystudy.kinds import OnDisk
from raystudy.shards.root import Root
from raystudy.sources import img2dataset


class WebDataset(OnDisk):
    """Tars of images with labels, captions or both, at ``path`` or one folder down::

        00000.tar         000000000.jpg (or .png, .webp), 000000000.cls, 000000000.txt, …
        classnames.txt    the names of the labels, one a line, where they have names

    Format: https://github.com/webdataset/webdataset.
    """

    VERSION: ClassVar[int] = 2
    unindexed: ClassVar[frozenset[str]] = frozenset({"is_shuffled"})
    is_shuffled: bool = False
    """Every tar is a random sample of the whole, so that a small subset may read a few tars only.
    Leave it False for shards that are sorted by anything."""

    @property
    def sampled_by(self) -> Literal["shard", "example"]:
        return "shard" if self.is_shuffled else "example"

    @property
    def name(self) -> str:
        return self.label or Root(self.path).name

    def missing(self, root: Root) -> Sequence[str]:
        if self.shards(root):
            return ()
        return [f"no *.tar below {root.url}; give the folder that holds the shards"]

    def shards(self, root: Root) -> Sequence[str]:
        return [*root.glob("*.tar"), *root.glob("*/*.tar")]

    def annotate(self, rows: pa.Table, metadata: None) -> pa.Table:
        return img2dataset.unambiguous(rows)
