"""Shutterstock images as WebDataset shards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pyarrow as pa

from raystudy.kinds import OnDisk
from raystudy.shards.root import Root
from raystudy.sources import img2dataset


class Shutterstock(OnDisk):
    """Stock photographs with the descriptions they are sold under.

    Layout: tars of ``.jpg`` and ``.txt``, as img2dataset writes them (see
    ``raystudy.sources.img2dataset``). Place: none; the set that Nguyen et al. (2022, arXiv
    2208.05516) and Entezari et al. (2023, arXiv 2302.13602) used is not public. Size: up to 15
    million pairs in the latter.
    Terms: proprietary; you need a licence from Shutterstock that allows training.
    """

    VERSION: ClassVar[int] = 1

    @property
    def name(self) -> str:
        return self.label or "shutterstock"

    def missing(self, root: Root) -> Sequence[str]:
        return img2dataset.missing(
            root, "it is not public: put tars of your licensed images (.jpg) and texts (.txt) there"
        )

    def shards(self, root: Root) -> Sequence[str]:
        return img2dataset.shards(root)

    def annotate(self, rows: pa.Table, metadata: None) -> pa.Table:
        return img2dataset.unambiguous(rows)
