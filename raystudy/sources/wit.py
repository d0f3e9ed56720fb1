"""The Wikipedia-based Image Text data set as img2dataset downloads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pyarrow as pa

from raystudy.kinds import OnDisk
from raystudy.shards.root import Root
from raystudy.sources import img2dataset


class WIT(OnDisk):
    """Images of Wikipedia with the texts around them, in 108 languages.

    Layout: img2dataset's (see ``raystudy.sources.img2dataset``). A row of WIT holds several texts;
    which is the caption is decided at download: ``--caption_col caption_reference_description`` is
    what Nguyen et al. (2022, arXiv 2208.05516) took, of the English rows alone. With
    ``--save_additional_columns '["language"]'`` each example carries its language.
    Place: https://github.com/google-research-datasets/wit, arXiv 2103.01913. Size: 37.6 million
    rows with 11.5 million images published, 17.2 million with a reference description. Terms: the
    texts are CC BY-SA 3.0, each image has a licence of its own.
    """

    VERSION: ClassVar[int] = 1
    # An image recurs for each language and nothing is promised of the rows' order.

    @property
    def name(self) -> str:
        return self.label or "wit"

    def missing(self, root: Root) -> Sequence[str]:
        return img2dataset.missing(
            root,
            "download wit_v1.train.all-*.tsv.gz with img2dataset --input_format tsv.gz "
            "--url_col image_url --caption_col caption_reference_description "
            "--output_format webdataset",
        )

    def shards(self, root: Root) -> Sequence[str]:
        return img2dataset.shards(root)

    def annotate(self, rows: pa.Table, metadata: None) -> pa.Table:
        return img2dataset.unambiguous(rows)
