"""ImageNet-Captions: the part of ImageNet-1k whose original Flickr texts were found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from raystudy.kinds import OnDisk
from raystudy.shards.root import Root
from raystudy.sources import ilsvrc
from raystudy.sources.rows import captioned, joined

FILE = "imagenet_captions.json"
MAX_JSON_BYTES = 2 << 30
Text = Literal["title", "description", "tags"]


class ImageNetCaptions(OnDisk):
    """ImageNet's training images with the title, description and tags they had on Flickr.

    Layout: ImageNet's training images (see ``raystudy.sources.ilsvrc``) and
    ``imagenet_captions.json``, a list of {filename, wnid, title, description, tags}. Images that it
    does not name are left out; labels are ImageNet's.
    Place: https://github.com/mlfoundations/imagenet-captions, Fang et al. 2022, arXiv 2205.01397.
    Size: 463,622 images. Terms: those of ImageNet for the images; the texts are Flickr's users'.
    """

    VERSION: ClassVar[int] = 1
    fields: Annotated[tuple[Text, ...], Field(min_length=1)] = ("title", "description", "tags")
    """What the caption is joined from, in this order."""

    @property
    def name(self) -> str:
        return self.label or "imagenet-captions"

    def missing(self, root: Root) -> Sequence[str]:
        lines = [*ilsvrc.missing(root, "train")]
        if not root.exists(FILE):
            lines.append(
                f"no {FILE} in {root.url}; unpack it there from "
                "https://github.com/mlfoundations/imagenet-captions"
            )
        return lines

    def shards(self, root: Root) -> Sequence[str]:
        return ilsvrc.shards(root, "train")

    def metadata(self, root: Root) -> tuple[ilsvrc.Labels, Mapping[str, str]]:
        """Raises ValueError if the captions are malformed."""
        try:
            entries = json.loads(root.read(FILE, MAX_JSON_BYTES) or b"")
            captions = {_id(entry): self._caption(entry) for entry in entries}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{root.url}/{FILE}: not ImageNet-Captions ({error!r})") from None
        return ilsvrc.labels(root, "train"), captions

    def annotate(
        self, rows: pa.Table, metadata: tuple[ilsvrc.Labels, Mapping[str, str]]
    ) -> pa.Table:
        labels, captions = metadata
        return captioned(ilsvrc.annotate(rows, labels), captions)

    def class_names(self, root: Root) -> tuple[str, ...]:
        return ilsvrc.class_names(root, "train")

    def _caption(self, entry: Mapping[str, Any]) -> str:
        texts = (entry.get(field) or "" for field in self.fields)
        return joined(" ".join(text) if isinstance(text, list) else text for text in texts)


def _id(entry: Mapping[str, Any]) -> str:
    return entry["filename"].partition(".")[0]
