"""Records and predictions as parquet: append, read, query. The truth of a study.

Each append is two files named by the cells in it: predictions first, then records, so that a cell
with a record has its predictions. A cell written twice counts once.
"""

import io
from collections.abc import Iterable
from functools import lru_cache

import polars as pl

from raystudy.key import digest
from raystudy.store import Store

SCHEMA = pl.Schema(
    {
        "cell": pl.String,
        "backbone": pl.String,
        "method": pl.String,
        "source": pl.String,
        "size": pl.Int64,
        "noise": pl.String,
        "noise_rate": pl.Float64,
        "realised_noise": pl.Float64,
        "architecture": pl.String,
        "task": pl.String,
        "adaptation": pl.String,
        "shots": pl.String,
        "num_train": pl.Int64,
        "seed": pl.Int64,
        "split": pl.String,
        "metric": pl.String,
        "value": pl.Float64,
        "chosen": pl.String,
        "num_tried": pl.Int64,
        "seconds": pl.Float64,
    }
)
"""One row per (cell, split, metric). ``shots`` is "1", "5", …, "full", or "0" for none;
``num_train`` counts the labelled examples used; ``split`` is "validation", "test" or
"test-<shift>"; ``chosen`` is JSON; ``seconds`` is the cost of adapting and evaluating the cell."""

IDENTITY = ["cell", "split", "metric"]


class Ledger:
    """The records of every study that shares a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def append(self, records: pl.DataFrame, predictions: pl.DataFrame) -> None:
        """Add finished cells. ``records`` has ``SCHEMA``; ``predictions`` has columns cell, split,
        id, label and logits (a list of C floats). Raises polars' SchemaError otherwise."""
        records = records.select(SCHEMA.names()).cast(SCHEMA)  # pyright: ignore[reportArgumentType]
        name = digest(sorted(records["cell"].unique())) + ".parquet"
        for room, frame in (("predictions", predictions), ("records", records)):
            buffer = io.BytesIO()
            frame.write_parquet(buffer, compression="zstd")
            self.store.write(buffer.getvalue(), "ledger", room, name)

    def read(self, cells: Iterable[str] | None = None) -> pl.DataFrame:
        """Records with ``SCHEMA``, sorted by cell, split and metric; of ``cells`` if given."""
        frame = self._frame("records")
        if frame is None:
            return pl.DataFrame(schema=SCHEMA)
        if cells is not None:
            frame = frame.filter(pl.col("cell").is_in(list(cells)))
        return frame.unique(IDENTITY, keep="first").sort(IDENTITY)

    def predictions(self, cells: Iterable[str]) -> pl.DataFrame:
        """The stored logits of ``cells``: columns cell, split, id, label, logits."""
        frame = self._frame("predictions")
        if frame is None:
            raise FileNotFoundError(f"{self.store.path('ledger', 'predictions')} holds nothing yet")
        frame = frame.filter(pl.col("cell").is_in(list(cells)))
        return frame.unique(["cell", "split", "id"], keep="first", maintain_order=True)

    def cells(self) -> set[str]:
        """The keys of finished cells."""
        frame = self._frame("records", columns=["cell"])
        return set() if frame is None else set(frame["cell"].unique())

    def finished(self, cells: Iterable[str]) -> set[str]:
        """Those of ``cells`` that are finished. Reads only what was appended since this process
        last asked, so that what it costs does not grow with the ledger."""
        wanted = set(cells)
        names = self.store.names("ledger", "records")
        done = set[str]()
        for name in names:
            done |= wanted & _cells_in(self.store.url, name)
        return done

    def _frame(self, room: str, columns: list[str] | None = None) -> pl.DataFrame | None:
        # A file of predictions without its records is what a kill left behind: it does not count.
        files = sorted(self.store.fs.glob(self.store.path("ledger", "records", "*.parquet")))
        files = [self.store.path("ledger", room, f.rsplit("/", 1)[-1]) for f in files]
        if not files:
            return None
        if self.store.is_local:
            return pl.read_parquet(files, columns=columns)
        frames = (io.BytesIO(self.store.fs.cat_file(f)) for f in files)
        return pl.concat([pl.read_parquet(f, columns=columns) for f in frames])


@lru_cache(maxsize=1 << 16)
def _cells_in(store_url: str, name: str) -> frozenset[str]:
    """A file of records is named by its cells, so it never changes."""
    data = Store(store_url).read("ledger", "records", name)
    if data is None:
        return frozenset()
    return frozenset(pl.read_parquet(io.BytesIO(data), columns=["cell"])["cell"].unique())
