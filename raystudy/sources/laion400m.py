"""LAION-400M as img2dataset downloads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import pyarrow as pa

from raystudy.kinds import OnDisk
from raystudy.shards.root import Root
from raystudy.sources import img2dataset


class LAION400M(OnDisk):
    """Image–alt-text pairs from Common Crawl, kept where CLIP's similarity is at least 0.3.

    Layout: img2dataset's (see ``raystudy.sources.img2dataset``), downloaded with
    ``--save_additional_columns '["NSFW","similarity","LICENSE"]'``, so that ``similarity`` is known
    of every example. Place: https://laion.ai/laion-400-open-dataset/, arXiv 2111.02114.
    Size: 413 million pairs published; fewer each month as links rot. Terms: the metadata is CC BY
    4.0, the images are their owners'. The original lists have been withdrawn from some hosts for
    their content; use a cleaned release where you can.
    """

    VERSION: ClassVar[int] = 1

    @property
    def name(self) -> str:
        return self.label or "laion-400m"

    @property
    def sampled_by(self) -> Literal["shard", "example"]:
        return "shard"

    def missing(self, root: Root) -> Sequence[str]:
        return img2dataset.missing(
            root,
            "download the URL lists with img2dataset --output_format webdataset "
            "(its dataset_examples/laion400m.md has the command)",
        )

    def shards(self, root: Root) -> Sequence[str]:
        return img2dataset.shards(root)

    def annotate(self, rows: pa.Table, metadata: None) -> pa.Table:
        return img2dataset.unambiguous(rows)
