"""ImageNet-1k in any of its layouts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pyarrow as pa

from raystudy.kinds import OnDisk
from raystudy.shards.root import Root
from raystudy.sources import ilsvrc


class ImageNet(OnDisk):
    """ILSVRC 2012: photographs of a thousand classes, labels 0 … 999 in the order of their wnids.

    Layout: Kaggle's or torchvision's folders, official tars, WebDataset or parquet; see
    ``raystudy.sources.ilsvrc``. Ids and labels, and so every subset, are the same in all of them.
    Place: https://image-net.org/challenges/LSVRC/2012/, arXiv 1409.0575. Size: 1,281,167 training
    and 50,000 validation images. Terms: non-commercial research and education, after registration.
    """

    VERSION: ClassVar[int] = 1
    split: ilsvrc.Split = "train"

    @property
    def name(self) -> str:
        return self.label or ("imagenet" if self.split == "train" else "imagenet-validation")

    def missing(self, root: Root) -> Sequence[str]:
        return ilsvrc.missing(root, self.split)

    def shards(self, root: Root) -> Sequence[str]:
        return ilsvrc.shards(root, self.split)

    def metadata(self, root: Root) -> ilsvrc.Labels:
        return ilsvrc.labels(root, self.split)

    def annotate(self, rows: pa.Table, metadata: ilsvrc.Labels) -> pa.Table:
        return ilsvrc.annotate(rows, metadata)

    def class_names(self, root: Root) -> tuple[str, ...]:
        return ilsvrc.class_names(root, self.split)
