"""Labelled data as image–text pairs: captions made from class names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.compute import call_function
from pydantic import Field, SerializeAsAny

from raystudy.kinds import Derived, Source, Stream
from raystudy.randomness import uniform
from raystudy.shards.table import replaced

Mask = NDArray[np.bool_]
Template = Annotated[str, Field(pattern=r"\{\}")]
"""A sentence with "{}" in the place of the class name."""


class Captioned(Derived):
    """The examples of ``source``; where one has a label and no caption, it gets a sentence with
    its class's name, in the way of CLIP's prompts (Radford et al. 2021, arXiv 2103.00020).

    Which sentence is drawn for each example by itself. Of a name with synonyms ("tench, Tinca
    tinca") the first is used. Examples with neither label nor caption are left out.
    """

    VERSION: ClassVar[int] = 1
    source: SerializeAsAny[Source]
    templates: Annotated[tuple[Template, ...], Field(min_length=1)] = (
        "a photo of a {}.",
        "a picture of a {}.",
        "a close-up of a {}.",
        "a photo of one {}.",
        "a small {} in a photo.",
        "a view of a {}.",
        "an image that shows a {}.",
    )
    replace: bool = False
    """Captions of labelled examples are replaced where there are any."""
    label: str | None = None
    """How tables call it; "<source> captioned" if not given."""

    @property
    def name(self) -> str:
        return self.label or f"{self.source.name} captioned"

    def inputs(self) -> Sequence[Source]:
        return (self.source,)

    def known_size(self) -> int | None:
        return None

    def arrange(self, streams: Sequence[Stream], seed: int) -> Stream:
        """The stream raises ValueError if a label that is needed has no class name."""
        (stream,) = streams
        names = [name.split(",")[0].strip() for name in stream.class_names]
        # Every sentence there is, by class, then template.
        sentences = pa.array([t.replace("{}", n) for n in names for t in self.templates], "string")

        def captioned(rows: pa.Table) -> pa.Table:
            has_caption = _has_text(rows["caption"])
            labels = rows["label"].to_numpy()
            write = (labels >= 0) & (self.replace | ~has_caption)
            if labels[write].max(initial=-1) >= len(names):
                raise ValueError(
                    f"Captioned: '{self.source.name}' has label {labels[write].max()} but "
                    f"{len(names)} class names; complete the class names of the source"
                )
            drawn = uniform(seed, "captioned", rows["id"].filter(pa.array(write)).to_pylist())
            sentence = labels * len(self.templates)
            sentence[write] += np.floor(drawn * len(self.templates)).astype(np.int64)
            written = sentences.take(pa.array(sentence, mask=~write))
            captions = call_function("coalesce", [written, rows["caption"]])
            return replaced(rows, "caption", captions).filter(pa.array(write | has_caption))

        return Stream(map(captioned, stream.tables), stream.class_names)


def _has_text(captions: pa.ChunkedArray) -> Mask:
    trimmed = call_function("utf8_trim_whitespace", [captions.fill_null("")])
    return call_function("utf8_length", [trimmed]).to_numpy() > 0
