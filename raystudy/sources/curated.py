"""A source filtered by what is known of its examples before their pixels are read."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Annotated, ClassVar, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.compute import SetLookupOptions, call_function
from pydantic import AfterValidator, Field, SerializeAsAny, model_validator

from raystudy.distinct import Seen
from raystudy.kinds import Derived, Source, Stream
from raystudy.spec import Rate

Mask = NDArray[np.bool_]

READS = {
    "min_similarity": "similarity",
    "min_aesthetic": "aesthetic",
    "max_punsafe": "punsafe",
    "max_pwatermark": "pwatermark",
    "languages": "language",
    "min_side": "width",
    "max_aspect": "width",
    "deduplicate": "digest",
}
"""Fields, and the column that each cannot do without."""
ENOUGH_TO_TELL = 1000
"""Examples after which a column in which nothing was known yet is taken to be unknown in all."""


class Curated(Derived):
    """The examples of ``source`` that pass every filter that is set, in their old order.

    Bounds are inclusive. An example of which a filter cannot tell, because the value is null, is
    left out. Filters of LAION's metadata: Schuhmann et al. 2022, arXiv 2210.08402.
    """

    VERSION: ClassVar[int] = 1
    source: SerializeAsAny[Source]
    min_similarity: float | None = None
    """Cosine of CLIP's image and text embeddings."""
    min_aesthetic: float | None = None
    """LAION's predicted aesthetic score, from 1 to 10."""
    max_punsafe: Rate | None = None
    """Predicted probability that the image is not safe for work."""
    max_pwatermark: Rate | None = None
    """Predicted probability that the image has a watermark."""
    languages: Annotated[tuple[str, ...], AfterValidator(lambda v: tuple(sorted(set(v))))] = ()
    """Codes as the source has them ("en"); of any language if empty."""
    min_side: Annotated[int, Field(ge=0)] = 0
    """Of the shorter side, in pixels."""
    max_aspect: Annotated[float, Field(ge=1)] | None = None
    """Of the longer side over the shorter."""
    caption_words: tuple[Annotated[int, Field(ge=0)], int] | None = None
    """From how many words to how many, as spaces part them."""
    deduplicate: bool = False
    """Of images with the same bytes, only the first that passes the other filters."""
    label: str | None = None
    """How tables call it; "<source> curated" if not given."""

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> Self:
        if self.caption_words and self.caption_words[0] > self.caption_words[1]:
            raise ValueError(f"Curated.caption_words={self.caption_words} has no number in it")
        return self

    @property
    def name(self) -> str:
        return self.label or f"{self.source.name} curated"

    def inputs(self) -> Sequence[Source]:
        return (self.source,)

    def known_size(self) -> int | None:
        return None

    def arrange(self, streams: Sequence[Stream], seed: int) -> Stream:
        """The stream raises ValueError if the source does not have what a filter asks for."""
        (stream,) = streams
        return Stream(self._passing(stream.tables), stream.class_names)

    def _passing(self, tables: Iterator[pa.Table]) -> Generator[pa.Table, None, str | None]:
        seen = Seen()
        fields = type(self).model_fields
        unknown = {f: 0 for f in READS if getattr(self, f) != fields[f].default}
        while True:
            try:
                rows = next(tables)
            except StopIteration as end:
                self._refuse(unknown, 1)
                return end.value
            for field in list(unknown):
                if rows[READS[field]].null_count < rows.num_rows:
                    del unknown[field]
                else:
                    unknown[field] += rows.num_rows
            self._refuse(unknown, ENOUGH_TO_TELL)
            rows = rows.filter(pa.array(self._passes(rows)))
            if self.deduplicate:
                rows = rows.filter(pa.array(seen.first(rows["digest"].to_numpy())))
            yield rows

    def _passes(self, rows: pa.Table) -> Mask:
        passes = np.ones(rows.num_rows, dtype=bool)
        # Null becomes NaN, of which every comparison is false.
        for field in ("min_similarity", "min_aesthetic"):
            if (bound := getattr(self, field)) is not None:
                passes &= rows[READS[field]].to_numpy() >= np.float32(bound)
        for field in ("max_punsafe", "max_pwatermark"):
            if (bound := getattr(self, field)) is not None:
                passes &= rows[READS[field]].to_numpy() <= np.float32(bound)
        if self.languages:
            wanted = SetLookupOptions(pa.array(self.languages))
            passes &= call_function("is_in", [rows["language"]], wanted).to_numpy()
        width, height = (rows[side].to_numpy().astype(np.float64) for side in ("width", "height"))
        if self.min_side:
            passes &= np.minimum(width, height) >= self.min_side
        if self.max_aspect:
            passes &= np.maximum(width, height) <= self.max_aspect * np.minimum(width, height)
        if self.caption_words:
            words = np.array(
                [len((c or "").split()) for c in rows["caption"].to_pylist()], dtype=int
            )
            passes &= (words >= self.caption_words[0]) & (words <= self.caption_words[1])
        if self.deduplicate:
            passes &= rows["digest"].is_valid().to_numpy()
        return passes

    def _refuse(self, unknown: dict[str, int], num_seen: int) -> None:
        for field, count in unknown.items():
            if count >= num_seen:
                raise ValueError(
                    f"Curated.{field}: '{self.source.name}' has no such metadata, {READS[field]} "
                    f"is null in all of its first {count:,} examples; leave {field} out, or index "
                    "a source that has it"
                )
