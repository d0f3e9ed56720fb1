"""Records and predictions as parquet: append, read, query. The truth of a study.

Each append is two files named by the cells in it: predictions first, then records, so that a cell
with a record has its predictions. A cell written twice counts once. Metrics that are computed from
predictions later lie beside them, in files of their own, under the metrics' keys.
"""

import io
from collections.abc import Iterable
from functools import lru_cache

import polars as pl

from raystudy.key import digest
from raystudy.kinds import Metric, Scored
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

PREDICTIONS = pl.Schema(
    {
        "cell": pl.String,
        "split": pl.String,
        "id": pl.String,
        "label": pl.Int64,
        "logits": pl.List(pl.Float32),
    }
)
"""One row an example of a split of a cell; ``logits`` has one of each class."""

SCORES = pl.Schema(
    {
        "cell": pl.String,
        "split": pl.String,
        "metric": pl.String,
        "metric_key": pl.String,
        "value": pl.Float64,
    }
)
"""One row per (cell, split, metric) that was computed from stored predictions."""

METRICS = "metrics"
"""Of a file's metadata: the keys of the metrics that were computed for it."""
IDENTITY = ["cell", "split", "metric"]


class Ledger:
    """The records of every study that shares a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def append(self, records: pl.DataFrame, predictions: pl.DataFrame) -> None:
        """Add finished cells. ``records`` has ``SCHEMA``; ``predictions`` has ``PREDICTIONS``,
        and is empty where others computed the numbers. Raises polars' SchemaError otherwise."""
        records = records.select(SCHEMA.names()).cast(SCHEMA)  # pyright: ignore[reportArgumentType]
        name = digest(sorted(records["cell"].unique())) + ".parquet"
        # One group of rows a cell (of one task all have as many), so that a cell is read alone.
        of_cell = len(predictions.filter(pl.col("cell") == pl.col("cell").first()))
        groups = {"predictions": of_cell or None, "records": None}
        for room, frame in (("predictions", predictions), ("records", records)):
            buffer = io.BytesIO()
            frame.write_parquet(buffer, compression="zstd", row_group_size=groups[room])
            self.store.write(buffer.getvalue(), "ledger", room, name)

    def read(
        self, cells: Iterable[str] | None = None, metrics: Iterable[Metric] = ()
    ) -> pl.DataFrame:
        """Records with ``SCHEMA``, sorted by cell, split and metric; of ``cells`` if given; with
        those of ``metrics`` that were computed since (``raystudy.stages.score``)."""
        frame = self._frame("records")
        if frame is None:
            return pl.DataFrame(schema=SCHEMA)
        if cells is not None:
            frame = frame.filter(pl.col("cell").is_in(list(cells)))
        frame = frame.unique(IDENTITY, keep="first")
        later = self._scores({metric.key for metric in metrics})
        if later is not None:
            of_cell = frame.drop("split", "metric", "value").unique("cell")
            later = later.join(of_cell, on="cell").select(SCHEMA.names())
            frame = pl.concat([later, frame]).unique(IDENTITY, keep="first", maintain_order=True)
        return frame.sort(IDENTITY)

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

    def files(self) -> list[str]:
        """The names of all that was appended."""
        return self.store.names("ledger", "records")

    def cells_in(self, file: str) -> frozenset[str]:
        return _cells_in(self.store.url, file)

    def scored_splits(self, file: str, cell: str) -> dict[str, Scored]:
        """What a cell of a file predicted, by split."""
        path = self.store.path("ledger", "predictions", file)
        source = path if self.store.is_local else io.BytesIO(self.store.fs.cat_file(path))
        rows = pl.scan_parquet(source).filter(pl.col("cell") == cell)
        frame = rows.select("split", "label", "logits").collect()
        splits = frame.partition_by("split", maintain_order=True, as_dict=True)
        return {str(name): _scored(part) for (name,), part in splits.items()}

    def scored(self) -> dict[str, set[str]]:
        """File → the keys of metrics that were computed from its predictions."""
        found: dict[str, set[str]] = {}
        for name in self.store.names("ledger", "scores"):
            file = f"{name.partition('.')[0]}.parquet"
            found.setdefault(file, set()).update(_metrics_in(self.store.url, name))
        return found

    def add_scores(self, file: str, metrics: Iterable[str], scores: pl.DataFrame) -> None:
        """Add what was computed from the predictions of ``file``: ``scores`` has ``SCORES``, and
        ``metrics`` are the keys of all that was computed, even where it says nothing."""
        keys = sorted(metrics)
        buffer = io.BytesIO()
        scores.write_parquet(buffer, compression="zstd", metadata={METRICS: " ".join(keys)})
        name = f"{file.removesuffix('.parquet')}.{digest(keys)}.parquet"
        self.store.write(buffer.getvalue(), "ledger", "scores", name)

    def _scores(self, keys: set[str]) -> pl.DataFrame | None:
        names = self.store.names("ledger", "scores") if keys else []
        frames = [pl.read_parquet(io.BytesIO(self._bytes("scores", name))) for name in names]
        if not frames:
            return None
        return pl.concat(frames).filter(pl.col("metric_key").is_in(list(keys)))

    def _bytes(self, room: str, name: str) -> bytes:
        return self.store.fs.cat_file(self.store.path("ledger", room, name))

    def _frame(self, room: str, columns: list[str] | None = None) -> pl.DataFrame | None:
        # A file of predictions without its records is what a kill left behind: it does not count.
        files = sorted(self.store.fs.glob(self.store.path("ledger", "records", "*.parquet")))
        files = [self.store.path("ledger", room, f.rsplit("/", 1)[-1]) for f in files]
        if not files:
            return None
        if self.store.is_local:
            return pl.read_parquet(files, columns=columns)
        contents = self.store.fs.cat(files)  # side by side
        frames = (pl.read_parquet(io.BytesIO(contents[f]), columns=columns) for f in files)
        return pl.concat(list(frames))


def _scored(predictions: pl.DataFrame) -> Scored:
    logits = predictions["logits"].explode().to_numpy()
    labels = predictions["label"].to_numpy()
    return Scored(logits.reshape(len(labels), -1), labels)


@lru_cache(maxsize=1 << 16)
def _metrics_in(store_url: str, name: str) -> frozenset[str]:
    data = Store(store_url).read("ledger", "scores", name) or b""
    return frozenset(pl.read_parquet_metadata(io.BytesIO(data))[METRICS].split())


@lru_cache(maxsize=1 << 16)
def _cells_in(store_url: str, name: str) -> frozenset[str]:
    """A file of records is named by its cells, so it never changes."""
    data = Store(store_url).read("ledger", "records", name)
    if data is None:
        return frozenset()
    return frozenset(pl.read_parquet(io.BytesIO(data), columns=["cell"])["cell"].unique())
