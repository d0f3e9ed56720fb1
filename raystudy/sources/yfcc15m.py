"""YFCC15M: the English part of YFCC100M that OpenAI listed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar
from urllib.parse import unquote_plus

import pyarrow as pa

from raystudy.kinds import OnDisk
from raystudy.shards.parquet_file import ParquetFile, kind_of
from raystudy.shards.root import Root
from raystudy.shards.table import replaced
from raystudy.sources import img2dataset
from raystudy.sources.rows import joined

TEXTS = ("title", "description")
_ROWS_AT_ONCE = 4096
_HTML = re.compile(r"<[^<>]*>")


class YFCC15M(OnDisk):
    """Flickr photographs with a title or description in English, all under Creative Commons.

    Layout, one of two::

        00000.tar …        .jpg and .txt, the text made of title and description
        *.parquet          images in the rows; the caption is their ``title`` and ``description``,
                           URL codes and HTML tags undone, where they have these columns

    Place: https://github.com/openai/CLIP/blob/main/data/yfcc100m.md (the list), arXiv 1503.01817
    (YFCC100M). DeCLIP's "YFCC15M" is another selection. Size: 14,829,396 images listed; 14,825,236
    were found in 2022. Terms: each image's own Creative Commons licence.
    """

    VERSION: ClassVar[int] = 1

    @property
    def name(self) -> str:
        return self.label or "yfcc-15m"

    def missing(self, root: Root) -> Sequence[str]:
        if not img2dataset.shards(root) and self.shards(root):
            return ()
        return img2dataset.missing(
            root,
            "make tars (or parquet files) of the images of OpenAI's list, yfcc100m_subset_data",
        )

    def shards(self, root: Root) -> Sequence[str]:
        if tars := img2dataset.shards(root):
            return tars
        files = [*root.glob("*.parquet"), *root.glob("*/*.parquet")]
        return [file for file in files if not img2dataset.is_held_out(file)]

    def metadata(self, root: Root) -> Root:
        return root

    def annotate(self, rows: pa.Table, metadata: Root) -> pa.Table:
        path = rows["path"][0].as_py() if len(rows) else ""
        captions = _captions(metadata, path) if path.endswith(".parquet") else None
        if captions is None:
            return img2dataset.unambiguous(rows)
        return replaced(rows, "caption", [captions[i] for i in rows["offset"].to_pylist()])


def _captions(root: Root, path: str) -> list[str] | None:
    """Of each row of a parquet file; None where it has neither column. Raises ValueError."""
    with root.open(path) as file:
        table = ParquetFile(file)
        columns = {name: name for name in TEXTS if kind_of(table.schema, name) is not None}
        if not columns:
            return None
        return [
            joined(_clean(text) for text in row.values())
            for group in range(len(table.group_sizes))
            for row in table.rows(columns, group, _ROWS_AT_ONCE)
        ]


def _clean(text: bytes | None) -> str:
    """As Flickr shows it: YFCC100M keeps "+" for a space, "%26" for "&", and HTML."""
    return _HTML.sub("", unquote_plus((text or b"").decode("utf-8", "replace")))
