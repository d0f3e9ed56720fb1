"""Documents: named texts in one order, without exact duplicates, each in one split for ever."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import numpy as np
from xxhash import xxh3_64_intdigest

from raystudy.distinct import Seen
from raystudy.randomness import uniform

Split = Literal["train", "validation", "test"]
SHARES: dict[Split, float] = {"test": 0.1, "validation": 0.05}
"""Of all documents; the rest is for training."""
MAX_DOCUMENT_BYTES = 64 << 20
"""One document is in memory at a time; larger files are left out."""


class Document(NamedTuple):
    name: str
    text: str


def of_split(documents: Iterable[Document], split: Split) -> Iterator[Document]:
    """Those of one split, each text once, in their order; eight bytes are kept of each.

    Which split a document is in follows from its text alone, whatever it is called and wherever it
    lies: no text of one corpus's test split is in the training split of another.
    """
    seen = Seen()
    for document in documents:
        hashed = xxh3_64_intdigest(document.text.encode("utf-8", "surrogatepass"))
        if seen.first(np.array([hashed], np.uint64))[0] and split_of(hashed) == split:
            yield document


def split_of(hashed: int) -> Split:
    """Of a document by the XXH3 of its bytes."""
    place = float(uniform(0, "text/split", [f"{hashed:016x}"])[0])
    for split, share in SHARES.items():
        if place < share:
            return split
        place -= share
    return "train"
