"""Conceptual 12M as img2dataset downloads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pyarrow as pa

from raystudy.kinds import OnDisk
from raystudy.shards.root import Root
from raystudy.sources import img2dataset


class CC12M(OnDisk):
    """Conceptual 12M: web images with alt-texts, filtered less strictly than CC3M's.

    Layout: img2dataset's (see ``raystudy.sources.img2dataset``), or the same tars as others publish
    them (``cc12m-train-0000.tar`` …). Place: https://github.com/google-research-datasets/conceptual-12m,
    arXiv 2102.08981. Size: 12,423,374 pairs published; 10,968,539 in the copy that OpenCLIP's
    documentation trains on. Terms: the list may be used for any purpose, Google asks to be named;
    the images are their owners'.
    """

    VERSION: ClassVar[int] = 1

    @property
    def name(self) -> str:
        return self.label or "cc-12m"

    def missing(self, root: Root) -> Sequence[str]:
        return img2dataset.missing(
            root,
            "download cc12m.tsv with img2dataset --output_format webdataset "
            "(its dataset_examples/cc12m.md has the command)",
        )

    def shards(self, root: Root) -> Sequence[str]:
        return img2dataset.shards(root)

    def annotate(self, rows: pa.Table, metadata: None) -> pa.Table:
        return img2dataset.unambiguous(rows)
