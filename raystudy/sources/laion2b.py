"""LAION-2B-en, or Re-LAION-2B-en, as img2dataset downloads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import pyarrow as pa

from raystudy.kinds import OnDisk
from raystudy.shards.root import Root
from raystudy.sources import img2dataset


class LAION2B(OnDisk):
    """The English part of LAION-5B: image–alt-text pairs from Common Crawl, filtered by CLIP.

    Layout: img2dataset's (see ``raystudy.sources.img2dataset``). From the *joined* lists, and with
    ``--save_additional_columns '["similarity","punsafe","pwatermark"]'``, each example carries
    these scores. Place: https://laion.ai/blog/laion-5b/, arXiv 2210.08402. The first release was
    withdrawn; its cleaned successor is Re-LAION-2B-en (https://laion.ai/blog/relaion-5b/).
    Size: about 2.32 billion pairs published, about 2.1 billion in Re-LAION's research-safe list;
    fewer each month as links rot. Terms: the lists are open, the images are their owners'.
    """

    VERSION: ClassVar[int] = 1

    @property
    def name(self) -> str:
        return self.label or "laion-2b"

    @property
    def sampled_by(self) -> Literal["shard", "example"]:
        return "shard"

    def missing(self, root: Root) -> Sequence[str]:
        return img2dataset.missing(
            root,
            "download the Re-LAION-2B-en lists with img2dataset --output_format webdataset "
            "(its dataset_examples/laion5B.md shows how)",
        )

    def shards(self, root: Root) -> Sequence[str]:
        return img2dataset.shards(root)

    def annotate(self, rows: pa.Table, metadata: None) -> pa.Table:
        return img2dataset.unambiguous(rows)
