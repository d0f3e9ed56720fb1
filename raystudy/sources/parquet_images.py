"""Parquet files with an image in each row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Literal

from raystudy.kinds import OnDisk
from raystudy.shards import parquet
from raystudy.shards.root import Root

_SPLIT = re.compile(r"(?:^|/)(train|validation|valid|val|test)(?=[-_./\d])")


class ParquetImages(OnDisk):
    """Parquet files of encoded images with labels, captions or both, as the Hugging Face hub keeps
    data sets, or img2dataset's ``--output_format parquet``::

        data/train-00000-of-00012.parquet …      columns image {bytes, path} and label, text, …
        train/0000.parquet …                     or a folder for each split
        00000.parquet …                          or no split at all: then every file is read

    Class names are those of the label's feature, or the lines of ``classnames.txt``.
    """

    VERSION: ClassVar[int] = 1
    split: Literal["train", "validation", "test"] = "train"

    @property
    def name(self) -> str:
        return self.label or Root(self.path).name

    def missing(self, root: Root) -> Sequence[str]:
        if self.shards(root):
            return ()
        if splits := sorted({split for f in _files(root) if (split := _split_of(f))}):
            return [f"no {self.split} split below {root.url}, which has {', '.join(splits)}"]
        return [f"no *.parquet below {root.url}; give the folder that holds them or their data/"]

    def shards(self, root: Root) -> Sequence[str]:
        files = _files(root)
        named = any(map(_split_of, files))
        return [f for f in files if not named or _split_of(f) == self.split]

    def class_names(self, root: Root) -> tuple[str, ...]:
        files = self.shards(root)
        return parquet.class_names(root, files[0]) if files else ()


def _files(root: Root) -> list[str]:
    return [f for depth in ("*", "*/*", "*/*/*") for f in root.glob(f"{depth}.parquet")]


def _split_of(path: str) -> str | None:
    """Of ``data/train-00000-of-00012.parquet``: train."""
    found = _SPLIT.search(path)
    return found and {"val": "validation", "valid": "validation"}.get(found[1], found[1])
