"""Conceptual Captions 3M, as img2dataset downloads it or as OpenCLIP's table of files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pyarrow as pa

from raystudy.kinds import OnDisk
from raystudy.shards.root import Root
from raystudy.sources import img2dataset

TABLE = "Train_GCC-training_output.csv"


class CC3M(OnDisk):
    """Conceptual Captions: web images with alt-texts whose names are replaced by common nouns.

    Layout, one of two::

        00000.tar, 00000.parquet, 00000_stats.json …     img2dataset's, or cc3m-train-0000.tar …
        Train_GCC-training_output.csv                    OpenCLIP's: columns title and filepath,
                                                         apart by tabs, files below ``path``

    Place: https://ai.google.com/research/ConceptualCaptions, Sharma et al., ACL 2018 (P18-1238).
    Size: 3,318,333 training pairs published; a tenth or more of the links are dead. Terms: the
    list may be used for any purpose, Google asks to be named; the images are their owners'.
    """

    VERSION: ClassVar[int] = 1

    @property
    def name(self) -> str:
        return self.label or "cc-3m"

    def missing(self, root: Root) -> Sequence[str]:
        if root.exists(TABLE):
            return ()
        return img2dataset.missing(
            root,
            "download the training list with img2dataset --output_format webdataset "
            f"(its dataset_examples/cc3m.md has the command), or put OpenCLIP's {TABLE} there",
        )

    def shards(self, root: Root) -> Sequence[str]:
        return [TABLE] if root.exists(TABLE) else img2dataset.shards(root)

    def annotate(self, rows: pa.Table, metadata: None) -> pa.Table:
        return img2dataset.unambiguous(rows)
