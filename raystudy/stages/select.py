"""Select: the exact examples of a pre-training, its labels and captions as it sees them.

``store/selections/<key>/`` holds one selection; every pre-training on the same data and seed shares
it, and every worker maps the same file. It is also the published subset: one row an example.
"""

import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import SerializeAsAny

from raystudy.kinds import Annotations, Integers, Noise, Source, Spec
from raystudy.noise.realised import realised_rate
from raystudy.shards.table import replaced
from raystudy.spec import Positive, Pretraining
from raystudy.stages.index import catalogue, faults, leaves, root_of
from raystudy.store import Store
from raystudy.subset import subset

COLUMNS = ("id", "offset", "size", "width", "height", "label", "caption")


class Choice(Spec):
    """The identity of a selection: everything it depends on."""

    source: SerializeAsAny[Source]
    size: Positive
    noise: SerializeAsAny[Noise] | None = None
    seed: int = 0


@dataclass(frozen=True)
class Selection:
    """What one pre-training trains on: N examples in the order of the source."""

    table: pa.Table
    """Of ``COLUMNS`` and ``file``, mapped from disk: ``label`` and ``caption`` are as training sees
    them."""
    files: list[str]
    """Paths or URLs, of which ``file`` counts."""
    class_names: tuple[str, ...]
    realised_noise: float
    left_out: dict[str, int]
    """Damaged examples of the whole source that no subset can hold, by reason."""

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @cached_property
    def labels(self) -> Integers:
        return self.column("label")

    @cached_property
    def file(self) -> NDArray[np.int32]:
        """Where each example lies, as a place in ``files``. Shape (N,)."""
        return self.column("file")

    @cached_property
    def on_disk(self) -> Integers:
        """Rows as they lie on disk, whatever order the shards were listed in. Shape (N,)."""
        rank = np.argsort(np.argsort(np.array(self.files, dtype=object)))
        return np.lexsort((self.column("offset"), rank[self.file])).astype(np.int64)

    def column(self, name: str) -> NDArray:
        return self.table[name].to_numpy()

    def captions(self, rows: Integers) -> list[str]:
        return self.table["caption"].take(pa.array(rows)).to_pylist()


def select(spec: Pretraining, store: Store) -> Selection:
    """The selection of a pre-training, computed if nobody did yet. Raises ValueError if the source
    is too small or lacks what the method reads."""
    choice = Choice(source=spec.source, size=spec.size, noise=spec.noise, seed=spec.seed)
    if not store.done("selections", choice.key):
        _write(choice, store)
    selection = _open(choice, store)
    _check(spec, selection)
    return selection


def _write(choice: Choice, store: Store) -> None:
    try:
        rows, class_names = subset(choice.source, choice.size, catalogue(store), choice.seed)
    except ValueError as error:
        raise ValueError(f"Pretraining.size of source '{choice.source.name}': {error}") from error
    rows, realised = _corrupted(rows, class_names, choice)
    paths = rows["path"].combine_chunks().dictionary_encode()
    files = paths.dictionary.to_pylist()
    columns = {name: rows[name] for name in COLUMNS} | {"file": paths.indices.cast(pa.int32())}
    with store.writing("selections", choice) as (folder, facts):
        facts |= {"realised_noise": realised, "num_classes": len(class_names)}
        table = pa.table(columns).combine_chunks()
        with pa.ipc.new_file(str(folder / "examples.arrow"), table.schema) as writer:
            writer.write_table(table)
        about = {
            "files": files,
            "class_names": class_names,
            "realised_noise": realised,
            "left_out": faults(choice.source, store),
        }
        (folder / "selection.json").write_text(json.dumps(about), encoding="utf-8")


def _corrupted(
    rows: pa.Table, class_names: tuple[str, ...], choice: Choice
) -> tuple[pa.Table, float]:
    if choice.noise is None:
        return rows, 0.0
    clean = Annotations(
        rows["id"].to_pylist(), rows["label"].to_numpy(), rows["caption"].to_pylist(), class_names
    )
    noisy = choice.noise.corrupt(clean, choice.seed)
    rows = replaced(replaced(rows, "label", noisy.labels), "caption", noisy.captions)
    return rows, realised_rate(clean, noisy, choice.noise.corrupts)


def _open(choice: Choice, store: Store) -> Selection:
    folder = store.local("selections", choice.key)
    about = json.loads((folder / "selection.json").read_text(encoding="utf-8"))
    roots = {leaf.key: root_of(leaf, store) for leaf in leaves(choice.source)}
    files = []
    for file in about["files"]:
        key, _, path = file.partition("/")
        files.append(f"{roots[key]}/{path}")
    with pa.memory_map(str(folder / "examples.arrow")) as mapped:
        table = pa.ipc.open_file(mapped).read_all()
    return Selection(
        table, files, tuple(about["class_names"]), about["realised_noise"], about["left_out"]
    )


def _check(spec: Pretraining, selection: Selection) -> None:
    if "label" in spec.method.reads:
        bare = int((selection.labels < 0).sum())
        if bare:
            raise ValueError(
                f"source '{spec.source.name}' has {bare:,} examples without a label, which "
                f"{spec.method.name} needs; choose a labelled source or another method"
            )
        if selection.labels.max() >= selection.num_classes:
            raise ValueError(
                f"source '{spec.source.name}' has label {selection.labels.max()} but "
                f"{selection.num_classes} class names; complete classnames.txt beside its shards"
            )
