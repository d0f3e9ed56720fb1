"""Sources whose manifests lie in memory, for tests of what is derived from them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from raystudy.kinds import OnDisk, Rendered, Source
from raystudy.shards.root import Root
from raystudy.shards.table import SCHEMA, table_of
from raystudy.subset import Catalogue, ordered

Row = dict[str, Any]


class ByExample(OnDisk):
    path: str = "a"

    @property
    def name(self) -> str:
        return self.label or self.path

    def check(self) -> None:
        raise FileNotFoundError(f"no folder {self.path}")

    def known_size(self) -> int | None:
        return None

    def missing(self, root: Root) -> Sequence[str]:
        return ()

    def shards(self, root: Root) -> Sequence[str]:
        return ()


class ByShard(ByExample):
    @property
    def sampled_by(self) -> Literal["shard", "example"]:
        return "shard"


class Written(Rendered):
    title: str = "a"
    num_examples: int | None = None

    @property
    def name(self) -> str:
        return self.title

    def check(self) -> None:
        raise FileNotFoundError(f"no font for {self.title}")

    def known_size(self) -> int | None:
        return self.num_examples

    def render(self, folder: Path) -> None:
        raise NotImplementedError


class Listed:
    """A manifest that remembers which shards were read."""

    def __init__(self, shards: Mapping[str, pa.Table], class_names: Sequence[str] = ()) -> None:
        self._tables = list(shards.values())
        self.class_names = tuple(class_names)
        self.shards = pa.table(
            {
                "shard": pa.array(shards, pa.string()),
                "num_examples": pa.array([t.num_rows for t in self._tables], pa.int64()),
            }
        )
        self.read: list[int] = []

    def rows(self, i: int) -> pa.Table:
        self.read.append(i)
        return self._tables[i]

    @property
    def sizes_read(self) -> list[int]:
        return [self._tables[i].num_rows for i in self.read]


def listed(rows: Iterable[Row], cuts: int = 3, class_names: Sequence[str] = ()) -> Listed:
    """``rows`` in ``cuts`` shards of nearly equal size; what a row does not say is made up."""
    rows = [{"path": "file", "offset": i, "size": 1, "digest": i} | r for i, r in enumerate(rows)]
    shards = {f"{i:03d}": table_of(rows[i::cuts]) for i in range(cuts)}
    return Listed(shards, class_names)


def catalogue(**manifests: Listed) -> Catalogue:
    return lambda source: manifests[source.name]


def everything(source: Source, of: Catalogue, seed: int = 0) -> list[Row]:
    tables = [SCHEMA.empty_table(), *ordered(source, of, seed).tables]
    return pa.concat_tables(tables).to_pylist()
