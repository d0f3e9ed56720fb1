"""Sources become manifests: which examples there are, where they lie, what is wrong with the rest.

A rendered source and its manifest live in ``store/sources/<key>/``. A data set on disk keeps its
manifest beside itself; ``raystudy data index`` makes it, and so does the start of a run.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from raystudy.kinds import OnDisk, Rendered, Source
from raystudy.shards.manifest import Manifest, Plain, build, described
from raystudy.shards.table import replaced
from raystudy.store import Store
from raystudy.subset import Catalogue


def leaves(source: Source) -> Iterator[Rendered | OnDisk]:
    """The sources with shards of their own that ``source`` is made from, each once."""
    found: list[Source] = []  # not a set: a hash is a key, which unindexed data has not yet
    waiting = [source]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Rendered | OnDisk) and one not in found:
            found.append(one)
            yield one
        waiting += reversed(one.inputs())


def index(source: Rendered, store: Store) -> None:
    """Render a source into the store, with the manifest of what it holds."""
    with store.writing("sources", source) as (folder, facts):
        source.render(folder)
        manifest = build(Plain(str(folder)), str(folder / "manifest"))
        facts["num_examples"] = manifest.num_examples


def root_of(source: Rendered | OnDisk, store: Store) -> str:
    """The folder or URL below which the paths of its examples lie."""
    if isinstance(source, OnDisk):
        return source.path.rstrip("/")
    return str(store.local("sources", source.key))


def catalogue(store: Store) -> Catalogue:
    """How ``raystudy.subset`` finds the manifest of a leaf."""

    def opened(source: Source) -> Keyed:
        assert isinstance(source, Rendered | OnDisk)
        return Keyed(source.key, Manifest.open(_manifest_path(source, store)))

    return opened


def faults(source: Source, store: Store) -> dict[str, int]:
    """Damaged examples that indexing left out, by reason, over all leaves of a source."""
    counts: Counter[str] = Counter()
    for leaf in leaves(source):
        counts.update(described(_manifest_path(leaf, store))["faults"])
    return dict(counts.most_common())


def check_faults(source: Source, store: Store, max_bad_rate: float) -> None:
    """Raise ValueError, with the list by reason, if more of a leaf is damaged than may be."""
    for leaf in leaves(source):
        about = described(_manifest_path(leaf, store))
        bad = sum(about["faults"].values())
        total = bad + about["num_examples"]
        if bad > max_bad_rate * total:
            reasons = ", ".join(f"{r} ({n:,})" for r, n in about["faults"].items())
            raise ValueError(
                f"{bad:,} of {total:,} examples of source '{leaf.name}' are "
                f"damaged, over the {max_bad_rate:.1%} of --max-bad-rate: {reasons}"
            )


@dataclass(frozen=True)
class Keyed:
    """A manifest whose paths begin with the key of their source: mixed with others, they are still
    told apart, and they stay true when the data moves."""

    key: str
    manifest: Manifest

    @property
    def shards(self) -> pa.Table:
        return self.manifest.shards

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.manifest.class_names

    def rows(self, i: int) -> pa.Table:
        rows = self.manifest.rows(i)
        paths = pc.call_function("binary_join_element_wise", [self.key, rows["path"], "/"])
        return replaced(rows, "path", paths)


def _manifest_path(source: Rendered | OnDisk, store: Store) -> str:
    if isinstance(source, OnDisk):
        return source.manifest_path
    return str(store.local("sources", source.key) / "manifest")
