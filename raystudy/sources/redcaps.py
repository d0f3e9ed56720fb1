"""RedCaps, in its official folders or as WebDataset shards."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import ClassVar

import pyarrow as pa

from raystudy.kinds import OnDisk
from raystudy.shards.root import Root
from raystudy.sources import img2dataset
from raystudy.sources.rows import captioned

MAX_JSON_BYTES = 1 << 30
"""Of one annotation file: a subreddit's year."""


class RedCaps(OnDisk):
    """Images and titles of 350 subreddits, 2008 to 2020.

    Layout, one of two::

        annotations/<subreddit>_<year>.json        redcaps-downloader's (RedCaps' own): captions are
        images/<subreddit>/<image_id>.jpg          the ``caption`` of each annotation

        00000.tar … or shard_000000.tar …          img2dataset's, or that of Nguyen et al. (2022,
                                                   arXiv 2208.05516)

    Images that no annotation names are left out. Place: https://redcaps.xyz, arXiv 2111.11431.
    Size: about 12.01 million pairs published; posts vanish with time. Terms: the annotations are
    CC BY 4.0, the images are their posters'.
    """

    VERSION: ClassVar[int] = 1
    # Both layouts are sorted by subreddit unless the annotations were shuffled before download.

    @property
    def name(self) -> str:
        return self.label or "redcaps"

    def missing(self, root: Root) -> Sequence[str]:
        subreddits = root.folders("images")
        if not subreddits:
            return img2dataset.missing(
                root,
                "download with redcaps-downloader (annotations/ and images/ below that folder), or "
                "with img2dataset --output_format webdataset",
            )
        annotated = {_subreddit(path) for path in root.glob("annotations/*.json")}
        names = (folder.rpartition("/")[2] for folder in subreddits)
        return [
            f"images/{name} has no annotations/{name}_<year>.json, so its images have no captions; "
            "unpack RedCaps' annotations there, or move the folder away"
            for name in names
            if name not in annotated
        ]

    def shards(self, root: Root) -> Sequence[str]:
        return root.folders("images") or img2dataset.shards(root)

    def metadata(self, root: Root) -> tuple[Root, Mapping[str, Sequence[str]]] | None:
        """The annotation files of each subreddit; None for tars. They are read with its images,
        since all of them together hold gigabytes."""
        if not root.folders("images"):
            return None
        files: dict[str, list[str]] = {}
        for path in root.glob("annotations/*.json"):
            root.full(path)  # tells the manifest that captions come from there
            files.setdefault(_subreddit(path), []).append(path)
        return root, files

    def annotate(
        self, rows: pa.Table, metadata: tuple[Root, Mapping[str, Sequence[str]]] | None
    ) -> pa.Table:
        """Raises ValueError for an annotation file that is malformed."""
        if metadata is None or not len(rows):
            return img2dataset.unambiguous(rows)
        root, files = metadata
        subreddit = rows["path"][0].as_py().split("/")[1]
        captions: dict[str, str] = {}
        for path in files.get(subreddit, ()):
            captions |= _captions(root, path)
        return captioned(rows, captions)


def _captions(root: Root, path: str) -> dict[str, str]:
    """Of each image that an annotation file names, by its id."""
    try:
        entries = json.loads(root.read(path, MAX_JSON_BYTES) or b"")["annotations"]
        return {str(entry["image_id"]): str(entry["caption"]) for entry in entries}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{root.url}/{path}: not RedCaps annotations ({error!r})") from None


def _subreddit(path: str) -> str:
    """``annotations/itookapicture_2019.json`` → ``itookapicture``; names may hold underscores."""
    return path.rpartition("/")[2].removesuffix(".json").rpartition("_")[0]
