"""Sources become an index: which examples there are, where they lie, what they are labelled.

``store/sources/<key>/index.parquet`` holds one row per example; a source that renders its examples
keeps its shards beside it.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from raystudy.kinds import Integers, Source
from raystudy.noise import realised_rate
from raystudy.sources.webdataset import class_names, index_shards
from raystudy.spec import Pretraining
from raystudy.store import Store
from raystudy.subset import nested_subset


@dataclass(frozen=True)
class Selection:
    """What one pre-training trains on: N examples in order of rank, labels as it sees them."""

    ids: list[str]
    shards: list[Path]
    shard: Integers
    offset: Integers
    size: Integers
    labels: Integers
    captions: list[str]
    class_names: tuple[str, ...]
    realised_noise: float

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


def index(source: Source, store: Store) -> None:
    """Write the source's shards if it makes them up, and the index of their examples."""
    with store.writing("sources", source) as (folder, facts):
        shards = [Path(s) for s in source.shards(folder)]
        table = index_shards(shards)
        names = class_names(shards[0].parent)
        if not names:
            names = tuple(map(str, range(int(np.max(table["label"].to_numpy(), initial=-1)) + 1)))
        pq.write_table(table, folder / "index.parquet")
        (folder / "shards.json").write_text(
            json.dumps(
                {
                    # Paths inside the artifact are relative: the store may move.
                    "shards": [s.name if s.parent == folder else str(s.absolute()) for s in shards],
                    "class_names": names,
                }
            )
        )
        facts["num_examples"] = table.num_rows


def select(spec: Pretraining, store: Store) -> Selection:
    """The subset and the labels of one pre-training. Raises ValueError if the source is too small
    or lacks what the method reads."""
    table, shards, names = _read_index(str(store.local("sources", spec.source.key)))
    ids = table["id"].to_pylist()
    try:
        rows = nested_subset(ids, spec.size, spec.seed)
    except ValueError as error:
        raise ValueError(f"Pretraining.size of source '{spec.source.name}': {error}") from error
    table = table.take(rows)
    ids = [ids[i] for i in rows]
    clean = table["label"].to_numpy()
    if "label" in spec.method.reads and (clean < 0).any():
        raise ValueError(
            f"source '{spec.source.name}' has {(clean < 0).sum():,} examples without a label, "
            f"which {spec.method.name} needs; choose a labelled source or another method"
        )
    if "label" in spec.method.reads and (clean >= len(names)).any():
        raise ValueError(
            f"source '{spec.source.name}' has label {clean.max()} but {len(names)} class names; "
            "complete classnames.txt beside its shards"
        )
    labels = spec.noise.labels(ids, clean, len(names), spec.seed) if spec.noise else clean
    return Selection(
        ids=ids,
        shards=shards,
        shard=table["shard"].to_numpy(),
        offset=table["offset"].to_numpy(),
        size=table["size"].to_numpy(),
        labels=labels.astype(np.int64),
        captions=table["caption"].to_pylist(),
        class_names=names,
        realised_noise=realised_rate(clean, labels),
    )


@lru_cache(maxsize=8)
def _read_index(folder: str):
    described = json.loads((Path(folder) / "shards.json").read_text())
    shards = [Path(folder) / s for s in described["shards"]]  # an absolute path stays as it is
    return pq.read_table(Path(folder) / "index.parquet"), shards, tuple(described["class_names"])
