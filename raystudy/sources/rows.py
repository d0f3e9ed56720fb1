"""Changes to the rows of a shard: captions that lie beside the images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa

from raystudy.shards.table import replaced


def captioned(rows: pa.Table, captions: Mapping[str, str]) -> pa.Table:
    """The rows whose id, from its last slash on, is in ``captions``, with that caption."""
    stems = [id.rpartition("/")[2] for id in rows["id"].to_pylist()]
    kept = rows.filter(pa.array([stem in captions for stem in stems], pa.bool_()))
    return replaced(kept, "caption", [captions[stem] for stem in stems if stem in captions])


def joined(texts: Iterable[str]) -> str:
    """One line of those that are not empty, each once, with single spaces."""
    lines = (" ".join(text.split()) for text in texts)
    return " ".join(dict.fromkeys(line for line in lines if line))
