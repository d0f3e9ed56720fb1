"""Tables of file names and captions beside the images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from raystudy.kinds import OnDisk
from raystudy.shards.root import Root


class CaptionTable(OnDisk):
    """Tables that name a file and its caption (or label) in each line::

        pairs.tsv (or .csv)      filepath   title
                                 images/1.jpg   a cat on a mat
        images/1.jpg …

    Which columns count, and what paths are relative to, is said in ``raystudy.shards.tsv``.
    """

    VERSION: ClassVar[int] = 1

    @property
    def name(self) -> str:
        return self.label or Root(self.path).name

    def missing(self, root: Root) -> Sequence[str]:
        if self.shards(root):
            return ()
        return [f"no *.tsv or *.csv in {root.url}; put the table there, the images beside it"]

    def shards(self, root: Root) -> Sequence[str]:
        return [*root.glob("*.tsv"), *root.glob("*.csv")]
